"""Listeners: from a source's delivery to an action that is safe, and the delivery settled."""
