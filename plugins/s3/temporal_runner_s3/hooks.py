"""Declares the source to the runner; loads no vendor SDK."""
