"""Lengths of time as options have them: `500ms`, `30s`, `10m`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+"


def parse_duration(text: object) -> timedelta:
    """Read a duration such as `500ms`, `30s`, `10m` or `1h30m`; zero may be a bare `0`.

    Raises:
        PydanticCustomError: A ValueError; the text is not a duration.
    """
    if isinstance(text, timedelta):
        return text
    if text in (0, "0") and not isinstance(text, bool):
        return timedelta()
    if not isinstance(text, str) or not re.fullmatch(_DURATION, text):
        raise PydanticCustomError(
            "duration", "a duration has a number and a unit, such as 500ms, 30s, 10m or 1h30m"
        )
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise PydanticCustomError("duration", "the duration is too long") from None


def format_duration(duration: timedelta | float) -> str:
    """Write a duration (a timedelta, or seconds) as `parse_duration` reads it, for people."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": f"^(0|{_DURATION})$", "examples": ["500ms", "30s"]}
    ),
]
"""A length of time, zero or more: `500ms`, `30s`, `10m`, `1h30m`, `7d`."""


def _longer_than_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise PydanticCustomError("duration", "must be longer than 0")
    return duration


PositiveDuration = Annotated[Duration, AfterValidator(_longer_than_zero)]
"""A length of time longer than zero."""
