"""JSON that comes from outside: what workflows, files and expressions could not take is refused."""

from __future__ import annotations

import marshal
import math
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

_DEEPEST = 100
"""Levels of objects and lists. The reader itself takes 200, and so do the workers': what is read
here has to fit there within what a route puts around it."""
_INFINITIES = (b"\xf0\x7f", b"\xf0\xff")
"""How marshal writes the end of one; no text has these bytes in it."""


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is not JSON in UTF-8, is nested too deep, or has a number in it that is none
            (NaN, Infinity, 1e999).
    """
    if isinstance(text, str):
        try:
            text = text.encode()
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate in it") from None
    value = from_json(text, allow_inf_nan=False)
    openers = text.count(b"[") + text.count(b"{")
    if openers > _DEEPEST and _depth(value) > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    # The reader makes an infinity of 1e999. To look at each value for it costs more than to read.
    dumped = marshal.dumps(value)
    if any(mark in dumped for mark in _INFINITIES) and not all(map(_is_finite, _values(value))):
        raise ValueError("number out of range")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in _inner(one)]
    return depth


def _values(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict | list):
            pending += _inner(one)
        else:
            yield one


def _inner(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
