"""A config file: read, merged, checked against its models, with the place of every value."""
