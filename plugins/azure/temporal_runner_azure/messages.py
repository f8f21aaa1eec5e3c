"""From a queue message's text to events: pure, no network, no SDK.

A message is one event or an array of them, in Event Grid's schema or as CloudEvents, mostly in
base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from temporal_runner.plugin import Event, event_from_json, parse_json
from temporal_runner_azure.events import Undecodable, about_blob, is_created_file

Encoding = Literal["auto", "base64", "text"]

_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_EVENTS = 1000
"""Events in one message. Event Grid sends one; each is a delivery of its own, and takes memory."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a message.

    Attributes:
        body: The event as it came, in JSON; of a message that cannot be read its text.
        event: The event; None where it cannot be read.
        problem: Why it cannot be read; empty where it can.
    """

    body: Any
    event: Event | None = None
    problem: str = ""


def read_message(
    body: str,
    encoding: Encoding,
    *,
    created_files: bool,
    left_out: Callable[[Event], None] = lambda event: None,
) -> list[Record]:
    """The events of a message.

    A message that cannot be read as a whole is one record with its problem.

    Args:
        body: The message's text as the queue has it.
        encoding: Whether it is base64.
        created_files: Whether files that are made and still empty are events.
        left_out: Told of each that is not.
    """
    try:
        entries = decode(body, encoding)
    except Undecodable as problem:
        return [Record(body, problem=str(problem))]
    records = []
    for entry in entries:
        try:
            event = read_event(entry)
        except Undecodable as problem:
            records.append(Record(entry, problem=str(problem)))
            continue
        if created_files or not is_created_file(event):
            records.append(Record(entry, event))
        else:
            left_out(event)
    return records


def decode(text: str, encoding: Encoding) -> list[Any]:
    """The events of a message as JSON, not looked into yet.

    Args:
        text: The message's text as the queue has it.
        encoding: Whether it is base64; `auto` tells by the text itself, for JSON's first character
            is never one of base64's.

    Raises:
        Undecodable: It is not base64, not UTF-8, not JSON, or holds no event.
    """
    stripped = text.strip("\ufeff \t\r\n")
    if encoding == "base64" or (encoding == "auto" and not stripped.startswith(("{", "["))):
        try:
            stripped = base64.b64decode("".join(stripped.split()), validate=True).decode(
                "utf-8-sig"
            )
        except (binascii.Error, ValueError):
            reason = "it is neither JSON nor base64" if encoding == "auto" else "it is not base64"
            raise Undecodable(f"{reason} of UTF-8 text") from None
    try:
        content = parse_json(stripped)
    except ValueError as error:
        raise Undecodable(f"it is not JSON: {error}") from None
    entries = content if isinstance(content, list) else [content]
    if not entries:
        raise Undecodable("it holds no event")
    if len(entries) > MOST_EVENTS:
        raise Undecodable(f"it holds {len(entries)} events; {MOST_EVENTS} is the most")
    return entries


def encode(entries: list[Any], like: str) -> str:
    """The text of a message with these events, in the form of the one they came in."""
    if like.strip("\ufeff \t\r\n").startswith(("{", "[")):
        return written(entries)
    return base64.b64encode(json.dumps(entries, ensure_ascii=False).encode()).decode("ascii")


def written(content: Any) -> str:
    """JSON no longer than it came: escaped is only what may not stand in the queue's XML."""
    text = json.dumps(content, ensure_ascii=False)
    return _NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_event(entry: Any) -> Event:
    """One entry of a message as an event, whichever of the two schemas it has.

    Raises:
        Undecodable: It is neither.
    """
    match entry:
        case {"specversion": _}:
            event = _of_cloudevents(entry)
        case {"eventType": str(), "id": str(), "topic": str()}:
            event = _of_event_grid(entry)
        case _:
            raise Undecodable("it is an event neither of Event Grid's schema nor of CloudEvents")
    return about_blob(event) if event.type.startswith("Microsoft.Storage.") else event


def _of_cloudevents(entry: Mapping[str, Any]) -> Event:
    try:
        event = event_from_json(entry)
    except ValueError as error:
        raise Undecodable(f"it is no CloudEvent: {error}") from None
    if event.datacontenttype is None and "data_base64" not in entry:
        return replace(event, datacontenttype="application/json")  # which is what that stands for
    return event


def _of_event_grid(entry: Mapping[str, Any]) -> Event:
    if not (entry["id"] and entry["eventType"] and entry["topic"]):
        raise Undecodable("an event's id, eventType and topic must not be empty")
    subject = entry.get("subject")
    return Event(
        id=entry["id"],
        source=entry["topic"],
        type=entry["eventType"],
        subject=subject if isinstance(subject, str) and subject else None,
        time=_time(entry.get("eventTime")),
        datacontenttype="application/json",
        data=entry.get("data"),
    )


def _time(raw: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
