"""Environment variables in the values of a config, by Docker Compose's rules.

`${VAR}` (unset: empty, with a warning) · `${VAR:-default}` and `${VAR-default}` ·
`${VAR:?message}` and `${VAR?message}` · `${VAR:+instead}` and `${VAR+instead}` · `$${` is a literal
`${`. With a colon an empty variable counts as unset. A default may hold variables again. Unlike
Compose, `$VAR` without braces is left alone, and so is `${{ … }}`, which is resolved per event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from temporal_runner.config.placeholders import end_of_expression

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[^$}]*")
_OPERATOR = re.compile(r":?[-?+]")
_DEEPEST = 20
"""How deep defaults may nest."""


class VariableError(ValueError):
    """`${` is not written as it should be."""


class MissingVariableError(VariableError):
    """A variable that must be set is not."""


class _EverythingSet(dict[str, str]):
    def get(self, name: str, default: object = None) -> str:
        return "set"


def substitute(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Put environment variables into a text.

    Args:
        text: The text as written.
        environ: The variables.

    Returns:
        The text with values in it, and the names that were unset without a default.

    Raises:
        MissingVariableError: A required variable is missing.
        VariableError: The syntax is wrong.
    """
    unset: list[str] = []
    result, end = _read(text, 0, environ, unset, depth=0)
    assert end == len(text)
    return result, unset


def _read(
    text: str, start: int, environ: Mapping[str, str], unset: list[str], *, depth: int
) -> tuple[str, int]:
    """Read up to the end, or (in a default, at a depth of 1 or more) up to the closing brace."""
    if depth > _DEEPEST:
        raise VariableError(f"defaults nest more than {_DEEPEST} deep")
    parts: list[str] = []
    at = start
    while at < len(text):
        if depth and text[at] == "}":
            return "".join(parts), at
        if text.startswith("$${", at):
            parts.append("${")
            at += 3
        elif text.startswith("${{", at):
            closing = end_of_expression(text, at + 3)
            end = len(text) if closing is None else closing + 2
            parts.append(text[at:end])
            at = end
        elif text.startswith("${", at):
            value, at = _variable(text, at, environ, unset, depth)
            parts.append(value)
        else:
            end = _PLAIN.match(text, at + 1).end()  # type: ignore[union-attr]
            parts.append(text[at:end])
            at = end
    if depth:
        raise VariableError("${ without its closing brace")
    return "".join(parts), at


def _variable(
    text: str, start: int, environ: Mapping[str, str], unset: list[str], depth: int
) -> tuple[str, int]:
    name = _NAME.match(text, start + 2)
    if name is None:
        raise VariableError("after ${ comes the name of an environment variable (or write $${)")
    value = _value(name[0], environ)
    if text.startswith("}", name.end()):
        if value is None:
            unset.append(name[0])
        return value or "", name.end() + 1
    operator = _OPERATOR.match(text, name.end())
    if operator is None:
        raise VariableError(f"after ${{{name[0]} comes }}, :-default, :?message or :+instead")
    is_set = bool(value) if operator[0].startswith(":") else value is not None
    uses_word = is_set if operator[0].endswith("+") else not is_set
    # A word that is not used is read only to find its end: nothing in it may be missing.
    word, end = _read(
        text,
        operator.end(),
        environ if uses_word else _EverythingSet(),
        unset,
        depth=depth + 1,
    )
    if operator[0].endswith("?") and not is_set:
        message = word or "it is required"
        raise MissingVariableError(f"the environment variable {name[0]} is not set: {message}")
    if operator[0].endswith("+"):
        return (word if is_set else ""), end + 1
    return (word if not is_set else value or ""), end + 1


def _value(name: str, environ: Mapping[str, str]) -> str | None:
    value = environ.get(name)
    # Bytes that are no UTF-8 stand in os.environ as halves of characters, which no text may hold.
    if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
        raise VariableError(f"the environment variable {name} is not UTF-8 text")
    return value
