"""The chain of stock tools that `sitkit run` stands beside."""
