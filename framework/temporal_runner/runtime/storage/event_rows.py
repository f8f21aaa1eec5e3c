"""An event as a row has it: written as JSON, read back, and what stands for one that is broken."""

from __future__ import annotations

import json
from typing import Any

from temporal_runner.events.event import Event
from temporal_runner.values.redaction import redacted

UNREADABLE = "temporal_runner.unreadable"
"""The type of the event that stands for a row that cannot be read."""


def writable(text: str) -> str:
    """A text that SQLite takes: in UTF-8, while JSON may hold halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def written(event: Event) -> str:
    """An event as JSON.

    Raises:
        Exception: There is something in it that JSON has no form for.
    """
    return json.dumps(event.to_dict(), default=str)


def written_somehow(event: Event) -> str:
    """An event as JSON; what JSON has no form for is shown as Python shows it."""
    try:
        return written(event)
    except Exception:
        attributes = event.to_dict()
        return json.dumps({str(name): _shown(value) for name, value in attributes.items()})


def _shown(value: Any) -> Any:
    try:
        json.dumps(value, default=str)
    except Exception as error:
        try:
            return repr(value)
        except Exception:
            return f"{type(value).__name__} that cannot be shown: {type(error).__name__}"
    return json.loads(json.dumps(value, default=str))


def read(row: object) -> Event:
    """The event of a row.

    Args:
        row: What the column holds: bytes, if nobody else wrote it.

    Raises:
        ValueError: It is no event, and why.
    """
    if not isinstance(row, bytes):
        raise ValueError(f"there is no text but {type(row).__name__}")
    try:
        attributes = json.loads(row)
        event = Event.from_dict(attributes)
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    for name in ("id", "source", "type"):
        if not isinstance(getattr(event, name), str):
            raise ValueError(f"its {name} is no text")
    return event


def standing_for(row: object, *, where: str, key: str) -> Event:
    """What stands for a row that cannot be read, so that a person finds what is left of it.

    Args:
        row: What the column holds.
        where: The table's file.
        key: What else is known of the event.
    """
    left = row.decode("utf-8", "backslashreplace") if isinstance(row, bytes) else repr(row)
    return Event(id=key, source=where, type=UNREADABLE, data=left)


def text_of(column: object) -> str:
    """A text column as it is, or as well as it can be read."""
    if isinstance(column, bytes):
        return column.decode("utf-8", "backslashreplace")
    return column if isinstance(column, str) else repr(column)


def reason_of(error: Exception) -> str:
    """Why something failed, of a length that a person reads, and without secrets."""
    return redacted(str(error) or type(error).__name__)[:2000]
