"""Figures as SVG by matplotlib: small panels of one width, their colours left to the page that shows them."""
