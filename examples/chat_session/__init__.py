"""Conversations about the indexed documents: one workflow a session."""
