"""What bytes are by their media type: JSON, text, or else base64 of them."""

from __future__ import annotations

import base64
from typing import Any

from temporal_runner.events.strict_json import parse_json

_TEXTS = {"xml", "yaml", "x-yaml", "x-ndjson", "x-www-form-urlencoded"}
"""Media subtypes that are texts beside `text/*`."""


def interpret(content: bytes, content_type: str | None) -> Any:
    """The value that an event has for some bytes; of none it has none.

    Without a media type CloudEvents implies JSON, and leaves what is none to the receiver.

    Raises:
        ValueError: They are not what the media type says.
    """
    if not content:
        return None
    if content_type is None:
        for read in (parse_json, bytes.decode):
            try:
                return read(content)
            except ValueError:
                continue
        return base64.b64encode(content).decode()
    media_type = media_type_of(content_type)
    main, _, subtype = media_type.partition("/")
    if subtype == "json" or subtype.endswith("+json"):
        try:
            return parse_json(content)
        except ValueError as error:
            raise ValueError(f"data is not JSON: {error}") from None
    if main == "text" or subtype in _TEXTS or subtype.endswith(("+xml", "+yaml")):
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise ValueError("data is not UTF-8") from None
    return base64.b64encode(content).decode()


def media_type_of(content_type: str) -> str:
    """A content type without its parameters, in small letters."""
    return content_type.partition(";")[0].strip().lower()
