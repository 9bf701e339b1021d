"""One file a line of the table; each has ``measure(options)``, which returns its rows."""
