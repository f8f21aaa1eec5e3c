"""An expression's text to what can be run: compiled, with what it names and what it may cost.

The CEL library is imported only here, by a config that needs it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from temporal_runner.config.placeholders import STRING
from temporal_runner.routing import expression_errors
from temporal_runner.routing.expression_cost import Cost, cost_of
from temporal_runner.routing.expression_functions import (
    CORE_FUNCTIONS,
    EXACT_DOUBLE,
    functions_of,
)

Paths = tuple[tuple[str, ...], ...]
_NAMED = re.compile(r"(?<![\w.])event((?:\.[A-Za-z_]\w*)*)(?!\w)")
_BOUND = re.compile(r"\.\s*(?:map|filter|all|exists|exists_one)\s*\(\s*([A-Za-z_]\w*)\s*,")
# Types may stand in an expression by name: `type(event.data) == string`.
_TYPES = frozenset(
    [
        "bool",
        "bytes",
        "double",
        "duration",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "timestamp",
        "uint",
    ]
)
_DOUBLE = re.compile(r"\bdouble(?=\s*\()")
_TEXT = r"\w*[\"'][^\"']*[\"']+"
_CONSTANT = re.compile(
    rf"\bmatches\s*\(\s*(?P<matches>{_TEXT})\s*\)"
    rf"|\btimestamp\s*\(\s*(?P<timestamp>{_TEXT})\s*\)"
    rf"|\bduration\s*\(\s*(?P<duration>{_TEXT})\s*\)"
)
"""A call with a text written down, in an expression whose texts are blank."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled expression.

    Attributes:
        program: The library's.
        functions: What it calls beyond CEL's core, by name.
        paths: What it is given of the event; None for all of it.
        named: The paths in it, for messages: such as `.data.order`.
        cost: How its work grows with the event.
    """

    program: Any
    functions: dict[str, Callable[..., Any]]
    paths: Paths | None
    named: tuple[str, ...]
    cost: Cost


def compile_expression(source: str) -> Compiled:
    """Compile CEL over `event`.

    Raises:
        ValueError: It is no CEL, or names a variable or function there is not.
    """
    import cel
    from cel import stdlib

    # It warns of each error that it then raises, and quotes the event.
    logging.getLogger("cel").setLevel(logging.CRITICAL)
    blank = _blank_strings(source)
    try:
        program = cel.compile(source)
    except Exception as error:
        reason = expression_errors.syntax(blank, error)
        raise ValueError(f"not a CEL expression: {reason}") from None
    names = set(program.variables()) - {"event"} - set(_BOUND.findall(source)) - _TYPES
    # `math.abs(x)` is reported as the variable `math` and the function `abs`.
    called = {name for name in program.functions() if name[0].isalpha()}
    functions = functions_of(called, names, stdlib.STDLIB_FUNCTIONS)
    unknown = names - {name.split(".")[0] for name in functions if "." in name}
    if unknown:
        name = min(unknown)
        hint = expression_errors.unknown_name(blank, name)
        raise ValueError(f"unknown name {name!r}; {hint}")
    unknown = called - CORE_FUNCTIONS - {name.split(".")[-1] for name in functions}
    if unknown:
        name = min(unknown)
        known = [*CORE_FUNCTIONS, *stdlib.STDLIB_FUNCTIONS]
        hint = expression_errors.unknown_function(name, known)
        raise ValueError(f"unknown function {name!r}{hint}")
    _check_constants(source, blank)
    if "double" in called:
        program = cel.compile(_with_exact_double(source, blank))
    named = tuple(sorted({mark[1] for mark in _NAMED.finditer(blank) if mark[1]}))
    return Compiled(program, functions, _paths(source), named, cost_of(blank))


def _with_exact_double(source: str, blank: str) -> str:
    parts, at = [], 0
    for call in _DOUBLE.finditer(blank):
        parts += [source[at : call.start()], EXACT_DOUBLE]
        at = call.end()
    return "".join([*parts, source[at:]])


def _check_constants(source: str, blank: str) -> None:
    """Find a regular expression, a time or a duration that is written down and is none."""
    import cel

    for call in _CONSTANT.finditer(blank):
        name = str(call.lastgroup)
        text = source[call.start(name) : call.end(name)]
        constant = f"''.{name}({text})" if name == "matches" else f"{name}({text})"
        try:
            cel.evaluate(constant)
        except Exception as error:
            reason = expression_errors.failure(error, source, {})
            raise ValueError(f"{text}: {reason}") from None


def _blank_strings(source: str) -> str:
    """The same without what stands in its texts."""
    return STRING.sub(lambda text: '"' + " " * (len(text[0]) - 2) + '"', source)


def _paths(source: str) -> Paths | None:
    """The paths that an expression names below `event`; None where it may read all of it."""
    paths = set()
    for named in _NAMED.finditer(source):
        steps = named[1].split(".")[1:]
        if source[named.end() :].lstrip().startswith("("):
            del steps[-1:]  # the last one is a function of what is before it
        if not steps:
            return None
        paths.add(tuple(steps))
    # Shorter ones first: what they take in, the longer ones find there.
    return tuple(sorted(paths, key=len))
