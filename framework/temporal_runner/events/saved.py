"""Reads a file of saved events: what `runner events send` is given."""

from __future__ import annotations

from pathlib import Path

from temporal_runner.errors import UsageError
from temporal_runner.events.cloudevents import event_from_json
from temporal_runner.events.event import Event
from temporal_runner.events.strict_json import parse_json


def read_events(file: Path) -> list[Event]:
    """The events of a file: one CloudEvent as JSON, or an array of them.

    Raises:
        UsageError: The file cannot be read, or an event in it is none.
    """
    try:
        content = parse_json(file.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{file}: is not UTF-8") from None
    except ValueError as error:
        raise UsageError(f"{file}: is not JSON: {error}") from error
    entries = content if isinstance(content, list) else [content]
    events = []
    for index, entry in enumerate(entries):
        try:
            events.append(event_from_json(entry))
        except ValueError as error:
            where = f"{file}[{index}]" if isinstance(content, list) else str(file)
            raise UsageError(f"{where}: is no CloudEvent: {error}") from error
    if not events:
        raise UsageError(f"{file}: has no event in it")
    return events
