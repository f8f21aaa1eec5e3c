"""What tells an event from all others, and the Workflow ID that is derived from it."""

from __future__ import annotations

import hashlib

from temporal_runner.events.event import Event

_LONGEST_DERIVED_ID = 250


def event_key(event: Event) -> str:
    """What tells an event from all others: its `id`, and a digest of its `source`.

    CloudEvents makes `source` and `id` together unique; either alone may repeat.
    """
    return f"{event.id}-{_digest(event.source)[:8]}"


def derived_id(listener: str, event: Event) -> str:
    """The Workflow ID where a route gives none: the same for each delivery of an event."""
    derived = f"{listener}-{event_key(event)}"
    if len(derived) <= _LONGEST_DERIVED_ID:
        return derived
    # The length keeps a source's end from being taken for an ID's beginning.
    digest = _digest(f"{len(event.source)}:{event.source}{event.id}")
    return f"{listener[:100]}-{digest}"


def _digest(text: str) -> str:
    # A JSON body may hold halves of characters: they are no reason to fail here.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
