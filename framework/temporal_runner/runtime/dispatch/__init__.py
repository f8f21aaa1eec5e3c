"""One action against Temporal, done once."""
