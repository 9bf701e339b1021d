"""A run's results: the typed model, how it is built from plan and store, and the rows that lie behind its numbers."""
