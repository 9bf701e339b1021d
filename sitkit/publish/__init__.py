"""A student given to others: its folder, its model card, and nothing of this machine in either."""
