"""CloudEvents over HTTP: binary, structured and batch mode (CloudEvents 1.0, HTTP binding)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from temporal_runner.plugin import Event
from temporal_runner_webhook.request import Request, bad, is_json, parse_json, unsupported

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_OF_THE_EVENT = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype")
_NAME = re.compile("[a-z0-9]{1,64}")


def is_cloudevent(request: Request) -> bool:
    """Whether a request says that it is in one of the three modes."""
    return "ce-specversion" in request.headers or request.media_type in {STRUCTURED, BATCH}


def read(request: Request, body: bytes) -> list[Event]:
    """The events of a request in any mode.

    Raises:
        Refusal: An attribute that every event has is missing, or the data cannot be read.
    """
    if request.media_type == BATCH:
        batch = parse_json(body)
        if not isinstance(batch, list):
            raise bad("a batch of CloudEvents is a JSON array")
        return [from_json_form(one) for one in batch]
    if request.media_type == STRUCTURED:
        return [from_json_form(parse_json(body))]
    attributes = {
        name.removeprefix("ce-"): unquote(request.headers[name])
        for name in request.headers
        if name.startswith("ce-")
    }
    media_type = request.media_type
    return [_event(attributes, _data(media_type, body), media_type or None)]


def from_json_form(raw: Any) -> Event:
    """An event out of its JSON form.

    Raises:
        Refusal: It is none.
    """
    if not isinstance(raw, dict):
        raise bad("a CloudEvent is a JSON object")
    media_type = raw.get("datacontenttype")
    if not isinstance(media_type, str | None):
        raise bad("the CloudEvent's datacontenttype is no text")
    attributes = {name: value for name, value in raw.items() if name not in {"data", "data_base64"}}
    data = raw.get("data")
    if "data_base64" in raw:
        data = _binary(raw["data_base64"], media_type or "application/json")
    return _event(attributes, data, media_type)


def _event(attributes: Mapping[str, Any], data: Any, media_type: str | None) -> Event:
    if attributes.get("specversion") != "1.0":
        raise bad("only CloudEvents of specversion 1.0 are taken")
    for name in ("id", "source", "type"):
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise bad(f"the CloudEvent has no {name}")
    subject = attributes.get("subject")
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        subject=subject if isinstance(subject, str) else None,
        time=time_of(attributes.get("time")),
        datacontenttype=media_type,
        data=data,
        extensions={
            name: value
            for name, value in attributes.items()
            if name not in _OF_THE_EVENT
            and _NAME.fullmatch(name)
            and isinstance(value, str | int | bool)
        },
    )


def time_of(raw: Any) -> datetime | None:
    """A time as RFC 3339 writes it, or None; one without a zone is UTC.

    Raises:
        Refusal: It is written otherwise.
    """
    if raw is None:
        return None
    try:
        time = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        raise bad(f"the event's time is not a time: {str(raw)[:50]!r}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _data(media_type: str, body: bytes) -> Any:
    if not body:
        return None
    if is_json(media_type):
        return parse_json(body)
    if media_type.startswith("text/"):
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise bad(f"the body is not UTF-8: {error}") from None
    raise unsupported("a CloudEvent's data must be JSON or text")


def _binary(raw: Any, media_type: str) -> Any:
    """`data_base64`: decoded where it holds JSON or text, as it is where it holds anything else."""
    try:
        decoded = base64.b64decode(raw, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise bad("data_base64 is not base64") from None
    if is_json(media_type) or media_type.startswith("text/"):
        return _data(media_type, decoded)
    return raw
