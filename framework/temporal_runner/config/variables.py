"""Environment variables in the values of a config, by Docker Compose's rules.

`${VAR}` (unset: empty, with a warning) · `${VAR:-default}` and `${VAR-default}` ·
`${VAR:?message}` and `${VAR?message}` · `${VAR:+instead}` and `${VAR+instead}` · `$${` is a literal
`${`. With a colon an empty variable counts as unset. A default may hold variables again. Unlike
Compose, `$VAR` without braces is left alone, and so is `${{ … }}`, which is resolved per event.

A variable in an expression is a value in it and never a part of its code: within quotes it is text,
outside them it must be JSON. What comes from a variable is no expression, whatever it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from temporal_runner.config.placeholders import STRING, end_of_expression

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[^$}]*")
_OPERATOR = re.compile(r":?[-?+]")
_DEEPEST = 20
"""How deep defaults may nest."""
_ESCAPES = {"\\": r"\\", '"': r"\"", "'": r"\'", "\n": r"\n", "\r": r"\r"}
_ESCAPED = re.compile(r"[\\\"'\x00-\x1f]")
_WHOLE = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?+])(?P<word>.*))?\}", re.DOTALL
)
_RAW_ENDS = re.compile(r"[\"'\n\r]")


class VariableError(ValueError):
    """`${` is not written as it should be."""


class MissingVariableError(VariableError):
    """A variable that must be set is not."""


class Kind(Enum):
    """What a text of the config is, which decides what a variable may be in it."""

    TEXT = auto()
    """It is taken as it is."""
    TEMPLATE = auto()
    """A route's value: `${{ … }}` in it is an expression, and `$${{` a literal `${{`."""
    EXPRESSION = auto()
    """A route's filter: all of it is an expression, with or without `${{ … }}` around it."""


class _Expression(str):
    """`${{ … }}` that stands in the file, unlike one that stands in a variable."""


@dataclass(slots=True)
class _Reading:
    """Where variables come from, and what was found out about them.

    Attributes:
        environ: The variables.
        unset: The names that were unset without a default.
        skips: What is read is not used: it is read only to find its end.
    """

    environ: Mapping[str, str]
    unset: list[str] = field(default_factory=list)
    skips: bool = False

    def value(self, name: str) -> str | None:
        if self.skips:  # nothing in it may be missing
            return "set"
        value = self.environ.get(name)
        # Bytes that are no UTF-8 stand in os.environ as halves of characters, which no text holds.
        if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
            raise VariableError(f"the environment variable {name} is not UTF-8 text")
        return value


def substitute(
    text: str, environ: Mapping[str, str], kind: Kind = Kind.TEXT
) -> tuple[str, list[str]]:
    """Put environment variables into a text.

    Args:
        text: The text as written.
        environ: The variables.
        kind: What the text is.

    Returns:
        The text with values in it, and the names that were unset without a default.

    Raises:
        MissingVariableError: A required variable is missing.
        VariableError: The syntax is wrong, or a value does not fit into an expression.
    """
    reading = _Reading(environ)
    if kind is Kind.EXPRESSION:
        return _filter(text, reading), reading.unset
    parts, end = _read(text, 0, reading, depth=0)
    assert end == len(text)
    result = "".join(parts) if kind is Kind.TEXT else _as_template(parts)
    return result, reading.unset


def _as_template(parts: list[str]) -> str:
    """The text of a template in which only what stands in the file is an expression."""
    result, plain = [], ""
    for part in [*parts, _Expression()]:
        if not isinstance(part, _Expression):
            plain += part
            continue
        plain = plain.replace("${{", "$${{")
        if part and plain.endswith("$"):  # which would make a literal of the expression
            plain = f'{plain[:-1]}${{{{ "$" }}}}'
        result += [plain, part]
        plain = ""
    return "".join(result)


def _read(text: str, start: int, reading: _Reading, *, depth: int) -> tuple[list[str], int]:
    """Read up to the end, or (in a default, at a depth of 1 or more) up to the closing brace."""
    if depth > _DEEPEST:
        raise VariableError(f"defaults nest more than {_DEEPEST} deep")
    parts: list[str] = []
    at = start
    while at < len(text):
        if depth and text[at] == "}":
            return parts, at
        if text.startswith("$${", at):
            parts.append("${")
            at += 3
        elif text.startswith("${{", at):
            closing = end_of_expression(text, at + 3)
            if closing is None:
                parts.append(_Expression(text[at:]))
                at = len(text)
            else:
                body = _in_expression(text[at + 3 : closing], reading)
                parts.append(_Expression(f"${{{{{body}}}}}"))
                at = closing + 2
        elif text.startswith("${", at):
            inner, at = _variable(text, at, reading, depth)
            parts += inner
        else:
            end = _PLAIN.match(text, at + 1).end()  # type: ignore[union-attr]
            parts.append(text[at:end])
            at = end
    if depth:
        raise VariableError("${ without its closing brace")
    return parts, at


def _variable(text: str, start: int, reading: _Reading, depth: int) -> tuple[list[str], int]:
    """What a variable at `start` gives, and where it ends."""
    name = _name(text, start)
    value = reading.value(name)
    at = start + 2 + len(name)
    if text.startswith("}", at):
        if value is None:
            reading.unset.append(name)
        return [value or ""], at + 1
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise VariableError(f"after ${{{name} comes }}, :-default, :?message or :+instead")
    is_set = bool(value) if operator[0].startswith(":") else value is not None
    uses_word = is_set if operator[0].endswith("+") else not is_set
    skips, reading.skips = reading.skips, reading.skips or not uses_word
    word, end = _read(text, operator.end(), reading, depth=depth + 1)
    reading.skips = skips
    if operator[0].endswith("?") and not is_set:
        message = "".join(word) or "it is required"
        raise MissingVariableError(f"the environment variable {name} is not set: {message}")
    if operator[0].endswith("+"):
        return (word if is_set else []), end + 1
    return (word if not is_set else [value or ""]), end + 1


def _name(text: str, start: int) -> str:
    name = _NAME.match(text, start + 2)
    if name is None:
        raise VariableError("after ${ comes the name of an environment variable (or write $${)")
    return name[0]


# Expressions. -------------------------------------------------------------------------------------


def _filter(text: str, reading: _Reading) -> str:
    """A filter; one that is a single variable is what that holds, or its default."""
    text = text.strip()
    if text.startswith("${{"):
        return "".join(_read(text, 0, reading, depth=0)[0])
    whole = _WHOLE.fullmatch(text)
    if whole is None or _variable(text, 0, _Reading({}, skips=True), 0)[1] != len(text):
        return _in_expression(text, reading)
    value, operator = reading.value(whole["name"]), whole["operator"] or ""
    is_set = bool(value) if operator.startswith(":") else value is not None
    if operator[-1:] == "+" if is_set else operator[-1:] == "-":
        return _filter(whole["word"], reading)
    return "".join(_variable(text, 0, reading, 0)[0])


def _in_expression(text: str, reading: _Reading) -> str:
    """An expression with the values of its variables, which are no part of its code."""
    parts, at = [], 0
    while True:
        literal, variable = STRING.search(text, at), text.find("${", at)
        if literal is not None and not -1 < variable < literal.start():
            within = _with_values(literal[0], reading, _escape_for(literal[0]))
            parts += [text[at : literal.start()], within]
            at = literal.end()
        elif variable < 0:
            return "".join([*parts, text[at:]])
        else:
            end = _variable(text, variable, _Reading({}, skips=True), 0)[1]
            parts += [text[at:variable], _with_values(text[variable:end], reading, _as_json)]
            at = end


def _with_values(text: str, reading: _Reading, written: Callable[[str, str], str]) -> str:
    parts, at = [], 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            parts += [text[at : start - 1], "${"]
            at = start + 2
            continue
        value, end = _variable(text, start, reading, 0)
        parts.append(text[at:start])
        if not reading.skips:
            parts.append(written(_name(text, start), "".join(value)))
        at = end
    return "".join([*parts, text[at:]])


def _escape_for(literal: str) -> Callable[[str, str], str]:
    """How a value is written within a text of an expression."""
    is_raw = "r" in literal[: len(literal) - len(literal.lstrip("rRbB"))].lower()

    def escape(name: str, value: str) -> str:
        if is_raw and _RAW_ENDS.search(value):
            raise VariableError(
                f"${{{name}}} has a quote or a line break in it, which r{literal[1]}…{literal[1]}"
                " cannot hold: leave the r away"
            )
        return value if is_raw else _ESCAPED.sub(_escaped, value)

    return escape


def _escaped(character: re.Match[str]) -> str:
    return _ESCAPES.get(character[0], f"\\x{ord(character[0]):02x}")


def _as_json(name: str, value: str) -> str:
    """How a value is written outside the texts of an expression: as what is no code."""
    try:
        constant = json.loads(value, parse_constant=_refuse)
        written = json.dumps(constant, ensure_ascii=False, allow_nan=False)
        written.encode()
    except (ValueError, RecursionError):
        raise VariableError(
            f"${{{name}}} stands in an expression: there its value must be a number, true, false or"
            f' other JSON; a text is written with quotes around it: "${{{name}}}"'
        ) from None
    return f"({written})" if written.startswith("-") else written


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
