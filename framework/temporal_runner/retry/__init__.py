"""Retries: the shared connector, its backoff strategies, and what cuts a wait short."""
