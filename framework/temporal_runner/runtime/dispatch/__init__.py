"""One action against Temporal, done once; also without a listener, for commands."""
