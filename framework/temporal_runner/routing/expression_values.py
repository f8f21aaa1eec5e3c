"""Values as CEL has them: what it would round, and what its types are called in plain words."""

from __future__ import annotations

import json
import marshal
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

Held = dict[str, Any]
_LEAST, _MOST = -(2**63), 2**64 - 1
"""CEL's whole numbers; for one beyond them the library takes the nearest decimal number."""
_LARGE = re.compile(
    rb"\0\0\0(?<=[l\xec][\x05-\x45]\0\0\0)"
    rb"(?:(?<!\x05\0\0\0)|.{8}(?:[\x10-\xff].|.[^\0]))",
    re.DOTALL,
)
_LARGE_NEGATIVE = re.compile(
    rb"\xff\xff\xff(?<=[l\xec][\xbb-\xfb]\xff\xff\xff)"
    rb"(?:(?<!\xfb\xff\xff\xff)|.{8}(?:[\x08-\xff].|.[^\0]))",
    re.DOTALL,
)
"""How marshal writes such a number: its sign and how many digits of 15 bits it has, then these.
From 70 digits on it is beyond all decimal numbers too, and the library refuses it. Each pattern
begins with what is rare in other values, which is much faster."""
_TYPES = (str, int, float, bytes, datetime, timedelta, dict, list, tuple, type(None))
_MARK = secrets.token_hex()
"""The one key of a mark, which nobody can have in an event."""
_LARGEST_EXACT = 2**53
"""Beyond it some whole numbers are no decimal number (of 64 bits)."""
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PATH = re.compile(r"event(?:\.\w+)*", re.ASCII)
_LONGEST_KEY = 50
_MOST_LOOKED_AT = 100_000
_KINDS = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a decimal number"),
    (str, "a text"),
    (dict, "an object"),
    (list | tuple, "a list"),
    (bytes, "bytes"),
    (datetime, "a timestamp"),
    (timedelta, "a duration"),
    (type(None), "null"),
)


def kind_of(value: Any) -> str:
    """What a value is, in plain words."""
    return next(
        (kind for types, kind in _KINDS if isinstance(value, types)),
        f"a value of the type {type(value).__name__}",
    )


def may_be_unfit(value: Any) -> bool:
    """Whether there may be numbers to hold back: cheaper than a look at each value."""
    try:
        dumped = marshal.dumps(value)
    except ValueError:  # something that JSON does not have, from a source of one's own
        return True
    return bool(_LARGE.search(dumped) or _LARGE_NEGATIVE.search(dumped))


def hold_back(value: Any, held: Held) -> Any:
    """The value with a mark in place of each number that CEL would round.

    A mark is equal to that of the same number and to nothing else, and can be handed on; being an
    object, CEL refuses to calculate with it, to order it and to make a text of it.

    Args:
        value: What an expression is given.
        held: The numbers by their marks; those found are added.
    """
    if isinstance(value, dict):
        return {key: hold_back(entry, held) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [hold_back(item, held) for item in value]
    if not _is_rounded(value):
        return value
    mark = hex(value) if isinstance(value, int) else repr(value)
    held[mark] = value
    return {_MARK: mark}


def put_back(result: Any, held: Held) -> Any:
    """The result of an expression with the numbers in place of their marks."""
    if isinstance(result, dict):
        if _MARK in result:
            return held[result[_MARK]]
        return {key: put_back(entry, held) for key, entry in result.items()}
    return [put_back(item, held) for item in result] if isinstance(result, list) else result


def exactly(function: Callable[..., Any], held: Held) -> Callable[..., Any]:
    """A function that is given the numbers themselves where they are held back."""
    return lambda *args: hold_back(function(*put_back(list(args), held)), held)


def unfit(value: Any, path: str) -> str:
    """What CEL would round, or does not take: where it stands and why.

    Args:
        value: What an expression is given.
        path: What the expression calls it.
    """
    for steps, one in islice(_walk(value), _MOST_LOOKED_AT):
        if isinstance(one, int) and is_beyond(one):
            reason = "is a whole number beyond 64 bits"
        elif isinstance(one, str) and any("\ud800" <= half <= "\udfff" for half in one):
            reason = "has half a character in it, which is no text"
        elif not isinstance(one, _TYPES):
            reason = f"is {kind_of(one)}, which CEL has no type for"
        else:
            continue
        place = path + "".join(map(_step, steps))
        plain = place if _PATH.fullmatch(place) else "event.data"
        return f"{place} {reason}; a plain path such as ${{{{ {plain} }}}} hands it on as it is"
    return "a value in it is none that CEL takes"


def _is_rounded(value: Any) -> bool:
    if isinstance(value, int):
        return is_beyond(value)
    return not isinstance(value, _TYPES) and hasattr(type(value), "__float__")


def is_beyond(number: int) -> bool:
    """Whether CEL has no whole number of this size."""
    return not _LEAST <= number <= _MOST


def rounds(number: int) -> bool:
    """Whether there is no decimal number (of 64 bits) that is this whole number."""
    if -_LARGEST_EXACT <= number <= _LARGEST_EXACT:
        return False
    try:
        return int(float(number)) != number
    except OverflowError:
        return True


def check_result(result: Any, given: Sequence[Any]) -> None:
    """Refuse what a function has rounded, or what CEL would round of its result.

    Raises:
        ValueError: The message says what.
    """
    if isinstance(result, int):
        if is_beyond(result):
            raise ValueError("the result is beyond 64 bits")
    elif isinstance(result, float):
        for one in given:
            for number in one if isinstance(one, list) else (one,):
                if isinstance(number, int) and rounds(number):
                    raise ValueError(f"{number} is no decimal number (of 64 bits)")


def _walk(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All values with the steps that lead there; keys count as values."""
    pending: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while pending:
        steps, one = pending.pop()
        yield steps, one
        if isinstance(one, dict):
            inner = [((*steps, key), entry) for key, entry in one.items()]
            pending += [*reversed(inner), *((steps, key) for key in one)]
        elif isinstance(one, list | tuple):
            pending += reversed([((*steps, index), item) for index, item in enumerate(one)])


def _step(step: Any) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    key = str(step)
    if len(key) > _LONGEST_KEY:
        key = f"{key[:_LONGEST_KEY]}…"
    elif _NAME.fullmatch(key):
        return f".{key}"
    return f"[{json.dumps(key, ensure_ascii=False)}]"
