"""The functions of expressions beyond CEL's core: the library's extensions, bounded and exact.

The library asks a function here where its own of that name does not take what it is given: so
`string(true)` and `timestamp(1700000000)` are added, and everything else gets a plain message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporal_runner.routing.expression_cost import limit
from temporal_runner.routing.expression_values import check_result, is_beyond, kind_of, rounds

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR = "getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getMonth"
_CLOCK = "getHours getMilliseconds getMinutes getSeconds"
# What the library's core language has beyond operators, which are named like `_+_` or `!_`.
CORE_FUNCTIONS = frozenset(
    "all bool bytes contains double duration endsWith exists exists_one filter has int map matches"
    f" max min size startsWith string timestamp type uint {_CALENDAR} {_CLOCK}".split()
)


def _refuse(name: str, wanted: str) -> Callable[..., Any]:
    def refuse(*args: Any) -> Any:
        raise TypeError(f"{_cannot_take(name, args)}: {wanted}")

    return refuse


def _cannot_take(name: str, args: tuple[Any, ...]) -> str:
    return f"{name}() cannot take {' and '.join(map(kind_of, args)) or 'nothing'}"


def _string(*args: Any) -> str:
    if len(args) == 1 and isinstance(args[0], bool):
        return "true" if args[0] else "false"
    if len(args) == 1 and isinstance(args[0], int | str):
        return str(args[0])  # as `x.string()`
    raise TypeError(f"{_cannot_take('string', args)}: only one plain value has a text")


def _int(*args: Any) -> int:
    if len(args) == 1 and isinstance(args[0], datetime):
        return (args[0] - _EPOCH) // timedelta(seconds=1)
    raise TypeError(f"{_cannot_take('int', args)}: it makes numbers, texts and timestamps whole")


def _double(*args: Any) -> float:
    """In place of the library's own, which rounds, and takes `nan` and a number beyond all."""
    value = args[0] if len(args) == 1 else None
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value) or not math.isfinite(number := float(value)):
            raise ValueError("double(): the text is no decimal number")
        if _WHOLE.fullmatch(value) and rounds(int(value)):
            raise ValueError(f"double(): {value} is no decimal number (of 64 bits)")
        return number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_cannot_take('double', args)}: it takes a number, or its text")
    return float(value)


def _timestamp(*args: Any) -> datetime:
    value = args[0] if len(args) == 1 else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"{_cannot_take('timestamp', args)}: it takes a text in RFC 3339, such as"
            " 2026-01-02T03:04:05Z, or whole Unix seconds"
        )
    try:
        return _EPOCH + timedelta(seconds=value)
    except OverflowError:
        raise ValueError(
            "timestamp(): not between the years 1 and 9999; it takes Unix seconds (for milliseconds"
            " divide by 1000)"
        ) from None


_TEXTS = "it is a text's and takes a text, as in event.type.{}(…)"
_FALLBACKS: dict[str, Callable[..., Any]] = {
    "string": _string,
    "int": _int,
    "uint": _refuse("uint", "it makes numbers and texts whole"),
    "timestamp": _timestamp,
    "duration": _refuse("duration", "it takes a text such as 90s or 1h30m"),
    "bytes": _refuse("bytes", "it takes a text"),
    "size": _refuse("size", "only a text, a list, an object or bytes have a size"),
    "matches": _refuse("matches", _TEXTS.format("matches")),
    "startsWith": _refuse("startsWith", _TEXTS.format("startsWith")),
    "endsWith": _refuse("endsWith", _TEXTS.format("endsWith")),
    **{
        name: _refuse(name, f"it is a timestamp's, as in timestamp(event.time).{name}()")
        for name in f"{_CALENDAR} {_CLOCK}".split()
    },
}
EXACT_DOUBLE = "exact_double"
"""What `double` is compiled as: the library asks its own function first."""


def functions_of(
    called: set[str], names: set[str], library: Mapping[str, Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    """The functions that an expression calls, by name.

    Args:
        called: What it calls: of `math.abs(x)`, `abs`.
        names: The names that stand in it: of `math.abs(x)`, `math`.
        library: The CEL library's extensions.
    """
    functions = {
        name: _checked(name, function)
        for name, function in library.items()
        if name in called or (name.split(".")[0] in names and name.split(".")[-1] in called)
    }
    functions |= {name: _FALLBACKS[name] for name in called & _FALLBACKS.keys()}
    if "double" in called:
        functions[EXACT_DOUBLE] = _checked("double", _double)
    if "string" in called and "base64.decode" in functions:
        functions["base64.decode"] = _text_only(functions["base64.decode"])
    return functions


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that refuses what would be too much, or is not exact, in plain words."""
    exact, is_of_bits = name != "math.sqrt", name.startswith("math.bit")

    def call(*args: Any) -> Any:
        try:
            limit(name, args)
            if is_of_bits and any(isinstance(one, int) and is_beyond(one) for one in args):
                raise ValueError(f"{name}(): a number is beyond 64 bits")
            result = function(*args)
        except (TypeError, AttributeError) as error:
            if "cannot take" in str(error):
                raise
            raise TypeError(_cannot_take(name, args)) from None
        if exact:
            try:
                check_result(result, args)
            except ValueError as error:
                raise ValueError(f"{name}(): {error}") from None
        return result

    return call


def _text_only(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Where `string()` is to follow, which puts one character for all that is no UTF-8."""

    def call(*args: Any) -> Any:
        decoded = decode(*args)
        try:
            decoded.decode()
        except UnicodeDecodeError:
            raise ValueError("base64.decode(): these bytes are no text in UTF-8") from None
        return decoded

    return call
