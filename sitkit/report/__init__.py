"""What a run has to show: results.json, and the tables and texts made from it."""
