"""One small file a data set: an example row, where it comes from, and how a row is parsed."""
