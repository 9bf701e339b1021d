"""Teachers on any model backend of lm-eval."""
