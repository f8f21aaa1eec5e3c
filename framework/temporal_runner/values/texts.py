"""Texts as options have them: one that is not empty, and the URL of an HTTP service."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

_URL = r"^https?://[^/?#\s@]+([/?#]\S*)?$"

Text = Annotated[str, StringConstraints(min_length=1)]
"""A text that is not empty."""


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_whole = re.fullmatch(_URL, text) and parts.hostname and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise PydanticCustomError(
            "url", "must be http:// or https:// with a host, and without user and password"
        )
    return text


Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"pattern": _URL})]
"""The URL of an HTTP service, such as https://sqs.eu-west-1.amazonaws.com."""
