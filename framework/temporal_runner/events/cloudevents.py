"""Reads events that were saved as JSON, in the form that CloudEvents 1.0 gives them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from temporal_runner.errors import UsageError
from temporal_runner.events.event import Event
from temporal_runner.events.strict_json import parse_json

_REQUIRED = ("id", "source", "type")
_OPTIONAL = ("subject", "time", "datacontenttype")
_OWN = {*_REQUIRED, *_OPTIONAL, "specversion", "data", "data_base64"}


def read_events(file: Path) -> list[Event]:
    """The events of a file: one CloudEvent as JSON, or an array of them.

    Raises:
        UsageError: The file cannot be read, or an event in it is none.
    """
    try:
        content = parse_json(file.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: is not JSON: {error}") from error
    entries = content if isinstance(content, list) else [content]
    events = []
    for index, entry in enumerate(entries):
        try:
            events.append(event_of(entry))
        except ValueError as error:
            where = f"{file}[{index}]" if isinstance(content, list) else str(file)
            raise UsageError(f"{where}: is no CloudEvent: {error}") from error
    if not events:
        raise UsageError(f"{file}: has no event in it")
    return events


def event_of(raw: Any) -> Event:
    """One event out of its JSON form.

    Raises:
        ValueError: It is no CloudEvent; the message says why.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"it is a {type(raw).__name__}, not an object")
    version = raw.get("specversion", "1.0")
    if version != "1.0":
        raise ValueError(f"specversion is {version!r}, and 1.0 is what is understood")
    for name in _REQUIRED:
        if not isinstance(raw.get(name), str) or not raw[name]:
            raise ValueError(f"{name} has to be a text that is not empty")
    for name in _OPTIONAL:
        if not isinstance(raw.get(name), str | None):
            raise ValueError(f"{name} has to be a text")
    return Event(
        id=raw["id"],
        source=raw["source"],
        type=raw["type"],
        subject=raw.get("subject"),
        time=_time(raw.get("time")),
        datacontenttype=raw.get("datacontenttype"),
        data=_data(raw),
        extensions={name: value for name, value in raw.items() if name not in _OWN},
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"time is {text!r}, not such as 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise ValueError(f"time is {text!r}, without a time zone")
    return time


def _data(raw: Mapping[str, Any]) -> Any:
    if "data_base64" not in raw:
        return raw.get("data")
    if "data" in raw:
        raise ValueError("it has both data and data_base64")
    try:
        text = base64.b64decode(raw["data_base64"], validate=True).decode()
    except (TypeError, binascii.Error, UnicodeDecodeError):
        raise ValueError("data_base64 has to be base64 of text") from None
    media_type = (raw.get("datacontenttype") or "").partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        return parse_json(text)
    return text
