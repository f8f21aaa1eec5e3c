"""Documents: fetched where an event says, read, split, indexed for search, and summed up."""
