"""The body of a refusal (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus


def problem(status: HTTPStatus, detail: str) -> bytes:
    """A problem as JSON, to be sent as application/problem+json."""
    return json.dumps(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
        }
    ).encode()
