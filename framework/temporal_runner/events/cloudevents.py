"""Reads CloudEvents 1.0: one as JSON, a batch, or attributes in headers with the data as the body.

As strict as the specification, with two exceptions. An optional attribute that is empty is read as
one that is not there. Whether a URI is one, and control characters in a text, are not looked at:
object stores and headers have such names, and what was saved of them has to be read again.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from temporal_runner.events.content import interpret, media_type_of
from temporal_runner.events.event import Event
from temporal_runner.events.strict_json import parse_json
from temporal_runner.events.times import EXAMPLE, read_time

STRUCTURED_MEDIA_TYPE = "application/cloudevents+json"
BATCH_MEDIA_TYPE = "application/cloudevents-batch+json"
HTTP_PREFIX = "ce-"

_REQUIRED = ("id", "source", "type")
_OPTIONAL = ("subject", "time", "datacontenttype", "dataschema")
_CORE = {"specversion", *_REQUIRED, *_OPTIONAL}
_NAME = re.compile("[a-z0-9]+")
_WORD = r"[\w!#$%&'*+.^`{|}~-]+"
_MEDIA_TYPE = re.compile(rf"\s*{_WORD}/{_WORD}\s*(;.*)?", re.ASCII | re.DOTALL)
_INTEGERS = range(-(2**31), 2**31)
_OUR_HEADERS = "headers"
"""The one extension that may be an object: a webhook's own headers, in an event that was saved."""
_KINDS = {float: "a fraction", list: "an array", dict: "an object"}

Headers = Mapping[Any, Any]


def is_cloudevent(headers: Headers, *, prefix: str = HTTP_PREFIX) -> bool:
    """Whether a message says that it is a CloudEvent, or a batch of them, in JSON or in headers.

    Args:
        headers: See `event_from_headers`.
        prefix: See `event_from_headers`.
    """
    own = f"{prefix}specversion".lower()
    # Asked of every request: most names are told apart by their length.
    lengths = (len(own), len("content-type"))
    named = _by_name({name: headers[name] for name in headers if len(name) in lengths})
    return own in named or _mode(named) is not None


def events_from_message(headers: Headers, body: bytes, *, prefix: str = HTTP_PREFIX) -> list[Event]:
    """The events of a message in any of the three modes; its content type says in which.

    Args:
        headers: See `event_from_headers`.
        body: The message's content.
        prefix: See `event_from_headers`.

    Raises:
        ValueError: It holds no CloudEvent; the message says why.
    """
    mode = _mode(_by_name(headers))
    if mode is None:
        return [event_from_headers(headers, body, prefix=prefix)]
    try:
        value = parse_json(body)
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    return events_from_batch(value) if mode == BATCH_MEDIA_TYPE else [event_from_json(value)]


def event_from_json(value: Any) -> Event:
    """One event out of its JSON form.

    Args:
        value: The JSON, as `parse_json` reads it.

    Raises:
        ValueError: It is no CloudEvent; the message names the attribute.
    """
    if not isinstance(value, Mapping):
        raise ValueError("a CloudEvent is a JSON object")
    attributes = dict(value)
    data, encoded = attributes.pop("data", None), attributes.pop("data_base64", None)
    checked = _checked(attributes)
    if encoded is not None:
        if "data" in value:
            raise ValueError("data and data_base64 exclude each other")
        data = interpret(_decoded(encoded), checked.get("datacontenttype"))
    return Event.from_dict({**checked, "data": data})


def events_from_batch(value: Any) -> list[Event]:
    """The events of a batch in JSON, none perhaps.

    Args:
        value: The JSON, as `parse_json` reads it.

    Raises:
        ValueError: It is no array, or one of them is no CloudEvent.
    """
    if not isinstance(value, list):
        raise ValueError("a batch of CloudEvents is a JSON array")
    events = []
    for index, one in enumerate(value):
        try:
            events.append(event_from_json(one))
        except ValueError as error:
            raise ValueError(f"[{index}]: {error}") from None
    return events


def event_from_headers(headers: Headers, body: bytes, *, prefix: str = HTTP_PREFIX) -> Event:
    """The event whose attributes are headers and whose data is the body (binary mode).

    Args:
        headers: By name in any case, `content-type` among them. Names and values may be bytes of
            UTF-8 (Kafka); values may have the types of AMQP too (numbers, booleans, times).
        body: The data.
        prefix: What stands before an attribute's name: `ce-` for HTTP, where values are
            percent-encoded, `ce_` for Kafka, `cloudEvents:` or `cloudEvents_` for AMQP.

    Raises:
        ValueError: It is no CloudEvent; the message names the attribute.
    """
    start, named = prefix.lower(), _by_name(headers)
    if len(named) < len(headers):
        raise ValueError("a header is there twice, in capital and in small letters")
    content_type = named.pop("content-type", None)
    attributes = {
        name[len(start) :]: _of_header(name, value, is_encoded=start == HTTP_PREFIX)
        for name, value in named.items()
        if name.startswith(start)
    }
    if "datacontenttype" in attributes:
        raise ValueError("datacontenttype stands in content-type and in no other header")
    if isinstance(content_type, bytes):
        content_type = _utf8("content-type", content_type)
    checked = _checked({**attributes, "datacontenttype": content_type})
    return Event.from_dict({**checked, "data": interpret(body, checked.get("datacontenttype"))})


# Attributes. --------------------------------------------------------------------------------------


def _checked(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that are set, each as the specification has it; times as Python writes them.

    Raises:
        ValueError: One of them is missing, or not as it has to be.
    """
    present = {name: value for name, value in attributes.items() if value is not None}
    if present.get("specversion") != "1.0":
        found = _shown(present["specversion"]) if "specversion" in present else "missing"
        raise ValueError(f"specversion is {found}: only 1.0 is understood")
    for name in _REQUIRED:
        if not isinstance(present.get(name), str) or not present[name]:
            raise ValueError(f"{name} has to be a text that is not empty")
    for name in _OPTIONAL:
        if not isinstance(present.get(name, ""), str):
            raise ValueError(f"{name} has to be a text")
        if not present.get(name, "?"):
            del present[name]
    for name, value in present.items():
        if name not in _CORE and (not _NAME.fullmatch(name) or name == "data"):
            raise ValueError(f"{_shown(name)} is no attribute's name: those are a to z and 0 to 9")
        if not (isinstance(value, str) and value.isascii()):
            _check_value(name, value)
    if "datacontenttype" in present and not _MEDIA_TYPE.fullmatch(present["datacontenttype"]):
        raise ValueError(f"datacontenttype is {_shown(present['datacontenttype'])}: no media type")
    if "time" in present:
        present["time"] = _time(present["time"]).isoformat()
    return present


def _check_value(name: str, value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} has a lone surrogate in it") from None
    elif isinstance(value, int):
        if value not in _INTEGERS:
            raise ValueError(f"{name} is a number of more than 32 bits: write it as a text")
    elif not (name == _OUR_HEADERS and _is_texts(value)):
        kind = _KINDS.get(type(value), f"a {type(value).__name__}")
        raise ValueError(f"{name} has to be a text, a whole number, true or false, not {kind}")


def _is_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())


def _time(text: str) -> datetime:
    try:
        return read_time(text)
    except ValueError:
        raise ValueError(f"time is {_shown(text)}: write it such as {EXAMPLE}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}…"


# Headers. -----------------------------------------------------------------------------------------


def _by_name(headers: Headers) -> dict[str, Any]:
    return {
        (name.decode(errors="replace") if isinstance(name, bytes) else str(name)).lower(): value
        for name, value in headers.items()
    }


def _mode(named: Mapping[str, Any]) -> str | None:
    """The media type of the JSON that a message is; None where its attributes are headers."""
    content_type = named.get("content-type", "")
    if isinstance(content_type, bytes):
        content_type = content_type.decode(errors="replace")
    media_type = media_type_of(str(content_type))
    return media_type if media_type in {STRUCTURED_MEDIA_TYPE, BATCH_MEDIA_TYPE} else None


def _of_header(name: str, value: Any, *, is_encoded: bool) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, bytes):
        value = _utf8(name, value)
    if not is_encoded or not isinstance(value, str):
        return value
    value = value.strip(" \t")
    if not value.isascii():
        raise ValueError(f"{name} has characters that have to be percent-encoded")
    if len(value) > 1 and value[0] == value[-1] == '"':  # as version 0.3 had it
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is percent-encoded, but not from UTF-8") from None


def _utf8(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8") from None


def _decoded(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("data_base64 is not base64") from None
