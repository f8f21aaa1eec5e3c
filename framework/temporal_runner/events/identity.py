"""What tells events, and what is done for them, from all others; and keys of a length that is safe.

Every key ends in a digest of all that it stands for, each part with its length: two that differ in
any part differ, wherever one part ends and the next begins. What stands before is for people.
"""

from __future__ import annotations

import hashlib
import re

from temporal_runner.events.event import Event

LONGEST_KEY = 250
"""Bytes: a Temporal that keeps its data in SQL has columns of 255."""
_DIGEST = 32
"""Hexadecimal digits: too many to find two that are the same, for whoever chooses what goes in."""
_READABLE = 100
"""Bytes of an event's own ID that a key shows."""
UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What some databases refuse for ever, and what UTF-8 does not have: halves of characters."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def event_key(event: Event) -> str:
    """What tells an event from all others of its listener.

    CloudEvents makes `source` and `id` together unique; either alone may repeat.
    """
    return f"{_cut(event.id, _READABLE)}-{_digest(event.source, event.id)}"


def action_key(event: Event, listener: str, kind: str, name: str, target: str) -> str:
    """What tells what is done for an event from all that anybody does: the key of a call.

    Args:
        event: The event.
        listener: The listener that received it.
        kind: What is done, such as `signal`.
        name: The signal's or update's name.
        target: The Workflow ID.
    """
    digest = _digest(listener, kind, name, target, event.source, event.id)
    return f"{_cut(event.id, _READABLE)}-{digest}"


def derived_id(listener: str, event: Event) -> str:
    """The Workflow ID where a route gives none: the same for each delivery of an event."""
    digest = _digest(listener, event.source, event.id)
    return f"{_cut(f'{listener}-{event.id}', LONGEST_KEY - _DIGEST - 1)}-{digest}"


def bounded_key(text: str, most: int) -> str:
    """A text of at most so many bytes that is the same for the same text, and for no other."""
    if len(text.encode("utf-8", "surrogatepass")) <= most and not UNWRITABLE.search(text):
        return text
    return f"{_cut(text, most - _DIGEST - 1)}-{_digest(text)}"


def _cut(text: str, most: int) -> str:
    """The beginning of a text, in characters that can be written and shown everywhere."""
    if text.isascii() and text.isprintable():  # as nearly all are
        return text[:most]
    return _CONTROL.sub("_", text[:most]).encode()[:most].decode(errors="ignore")


def _digest(*parts: str) -> str:
    whole = "".join([f"{len(part)}:{part}" for part in parts])
    # A JSON body may hold halves of characters: they are no reason to fail here.
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
