"""Times as RFC 3339 writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

EXAMPLE = "2026-01-31T12:00:00Z"
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d):(\d\d)(\.\d+)?"
    r"([Zz]|[+-]\d\d:[0-5]\d)",
    re.ASCII,
)


def read_time(text: str) -> datetime:
    """A time with its zone; a leap second is the one after it.

    Raises:
        ValueError: It is no such time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"no time such as {EXAMPLE}")
    day, minute, second, fraction, zone = match.groups()
    leap = second == "60"
    try:
        time = datetime.fromisoformat(
            f"{day}T{minute}:{'59' if leap else second}{fraction or ''}{zone.upper()}"
        )
        return time + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        raise ValueError(f"no time such as {EXAMPLE}") from None
