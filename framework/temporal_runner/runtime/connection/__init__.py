"""The connection to Temporal: where it is, connected with retries, then watched."""
