"""A route's values in the form that Temporal takes: IDs, fairness keys, search attributes by type.

What a value means is never guessed, and never told by the event: what has one reading is converted,
all else is refused with what it is and what to write instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporal_runner.config.fields import SearchAttributeType
from temporal_runner.events.identity import UNWRITABLE, bounded_key
from temporal_runner.events.times import EXAMPLE, read_time
from temporal_runner.routing.expressions import ExpressionError

LONGEST_NAME = 1000
"""Bytes of an ID or a name: Temporal's own limit (`limit.maxIDLength`)."""
_LONGEST_FAIRNESS_KEY = 64
"""Bytes: Temporal's own limit."""
_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53
"""Up to this, a number with a fraction and a whole number are the same number."""
_MOST_BITS = 3000
_SECONDS = 1e11
"""Unix times from here on (the year 5138) are milliseconds that nobody said are."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile("0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LONGEST_SHOWN = 60

Converted = str | bool | int | float | datetime | list[str]


class _Refused(ValueError):
    """A value has no reading as what is wanted; the text says what to do."""


def check_name(text: str) -> str:
    """A Workflow ID, or another name, that Temporal and its databases take.

    Raises:
        ValueError: It is none; the text goes on after "it".
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LONGEST_NAME:
        raise ValueError(f"has {size} bytes: Temporal takes {LONGEST_NAME}")
    if found := UNWRITABLE.search(text):
        raise ValueError(f"has the character {found[0]!r}, which not every database takes")
    return text


def workflow_id(value: Any, source_text: str) -> str:
    """The ID that a route gives to a workflow or an activity.

    Args:
        value: What the route's `id` gives for an event.
        source_text: The route's `id`.

    Raises:
        ExpressionError: That is no ID.
    """
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise ExpressionError(
            f"id: {source_text} gives {_shown(value)}, which is no ID: it has to be a text or a"
            " whole number"
        )
    try:
        return check_name(value if isinstance(value, str) else _text(value))
    except _Refused as refused:
        raise ExpressionError(f"id: {source_text} gives {_shown(value)}: {refused}") from None
    except ValueError as error:
        raise ExpressionError(f"id: {source_text} gives an ID that {error}") from None


def fairness_key(value: Any) -> str | None:
    """A fairness key, shortened where Temporal would refuse it: it only has to be the same.

    Raises:
        ExpressionError: The value has no one form as text.
    """
    if value is None:
        return None
    try:
        return bounded_key(_text(value), _LONGEST_FAIRNESS_KEY)
    except _Refused as refused:
        raise ExpressionError(
            f"priority.fairness_key: {_shown(value)} ({_kind(value)}) is no text: {refused}"
        ) from None


def search_attribute(
    name: str, declared: SearchAttributeType | None, value: Any
) -> tuple[SearchAttributeType, Converted]:
    """A search attribute's type, and its value as that.

    Args:
        name: The attribute's.
        declared: The type that the config gives it; None tells it from the value.
        value: The value, which is not None.

    Raises:
        ExpressionError: The value has no one reading as that type.
    """
    try:
        kind = declared or _type_of(value)
        return kind, _CONVERSIONS[kind](value)
    except _Refused as refused:
        wanted = declared or "search attribute"
        raise ExpressionError(
            f"search_attributes.{name}: {_shown(value)} ({_kind(value)}) is no {wanted}: {refused}"
        ) from None


def _type_of(value: Any) -> SearchAttributeType:
    match value:
        case bool():
            return "Bool"
        case int():
            return "Int"
        case float():
            return "Double"
        case datetime():
            return "Datetime"
        case str():
            return "Keyword"
        case list() | tuple():
            return "KeywordList"
    raise _Refused("name the value in it that is meant, such as event.data.customer.name")


# One function a type. -----------------------------------------------------------------------------


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() > _MOST_BITS:
            raise _Refused("it has more than a thousand digits")
        case int():
            return str(value)
        case float() if math.isfinite(value) and not value.is_integer() and "e" not in repr(value):
            return repr(value)
        case float():
            raise _Refused("write how, such as string(int(event.data.number))")
        case datetime() if value.tzinfo is not None:
            return value.isoformat()
        case str():
            if found := UNWRITABLE.search(value):
                raise _Refused(f"the character {found[0]!r} is refused by databases; leave it out")
            return value
    raise _Refused("name the value in it that is meant, such as event.data.customer.name")


def _int(value: Any) -> int:
    match value:
        case bool():
            raise _Refused("write which number, such as event.data.flag ? 1 : 0")
        case float() if value.is_integer() and abs(value) <= _EXACT:
            value = int(value)
        case float():
            raise _Refused("write which whole number, such as int(event.data.number)")
        case str() if _WHOLE.fullmatch(value) and len(value) <= len(str(_INT64[0])):
            value = int(value)
        case int():
            pass
        case _:
            raise _Refused("it has to be a whole number, or a text of its digits")
    if value not in _INT64:
        raise _Refused("it has more than 64 bits; declare the type Keyword")
    return int(value)


def _double(value: Any) -> float:
    match value:
        case bool():
            raise _Refused("write which number, such as event.data.flag ? 1.0 : 0.0")
        case int() if abs(value) > _EXACT and (abs(value) >= 2**1023 or int(float(value)) != value):
            raise _Refused("it would lose digits; declare the type Keyword")
        case int():
            return float(value)
        case str() if _DECIMAL.fullmatch(value):
            value = float(value)
        case float():
            pass
        case _:
            raise _Refused("it has to be a number, or a text such as 12.5")
    if not math.isfinite(value):
        raise _Refused("it has to be a finite number")
    return float(value)


def _bool(value: Any) -> bool:
    match value:
        case bool():
            return value
        case "true" | "false":
            return bool(value == "true")
    raise _Refused("write a comparison, such as event.data.state == 'open'")


def _datetime(value: Any) -> datetime:
    match value:
        case datetime() if value.tzinfo is not None:
            return value
        case bool():
            pass
        case int() | float() if abs(value) < _SECONDS:
            try:
                return _EPOCH + timedelta(seconds=value)
            except OverflowError:
                raise _Refused("no calendar has it") from None
        case int() | float():
            raise _Refused(
                "as Unix seconds it is after the year 5138; divide milliseconds by 1000 first"
            )
        case str():
            try:
                return read_time(value)
            except ValueError:
                raise _Refused(
                    f"it has to have date, time and zone, such as {EXAMPLE}; or give Unix seconds"
                    " as a number"
                ) from None
    raise _Refused(f"it has to be a time such as {EXAMPLE}, or Unix seconds")


def _keyword_list(value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        raise _Refused("write a list, such as [event.data.tag]")
    if any(isinstance(item, list | tuple | dict) for item in value):
        raise _Refused("its items have to be texts")
    return [_text(item) for item in value]


_CONVERSIONS: Mapping[SearchAttributeType, Callable[[Any], Converted]] = {
    "Text": _text,
    "Keyword": _text,
    "Int": _int,
    "Double": _double,
    "Bool": _bool,
    "Datetime": _datetime,
    "KeywordList": _keyword_list,
}

_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a decimal number",
    str: "a text",
    bytes: "bytes",
    list: "a list",
    dict: "an object",
    datetime: "a timestamp",
    timedelta: "a duration",
    type(None): "null",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number with more digits than Python writes
        text = "a very long value"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
