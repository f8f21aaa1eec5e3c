"""What a user would otherwise write: the other side of each ratio."""
