"""`${{ … }}` in the values of a config: texts with expressions in them, at any depth.

`$${{` is a literal `${{`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from temporal_runner.config.placeholders import end_of_expression
from temporal_runner.routing.expression_values import kind_of
from temporal_runner.routing.expressions import (
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    Scope,
)

Render = Callable[[Scope], Any]
_OPENING = re.compile(r"(?<!\$)\$\{\{")
"""Where an expression begins."""


class Template:
    """A value of the config with `${{ … }}` in its texts, at any depth.

    A text that is one expression takes the expression's value with its type; in a longer text each
    value is put in as text (and must be a text, a number or true or false).
    """

    def __init__(self, raw: Any) -> None:
        """Compile.

        Raises:
            ExpressionSyntaxError: One of the expressions is wrong.
        """
        self.expressions = _placeholders(raw)
        self._render = _renderer(raw)

    def render(self, scope: Scope) -> Any:
        """The value for one event; not to be changed, it may be the next one's too.

        Raises:
            ExpressionError: An expression cannot be evaluated.
        """
        return self._render(scope)


def _placeholders(raw: Any) -> bool:
    if isinstance(raw, str):
        return _OPENING.search(raw) is not None
    if isinstance(raw, dict):
        return any(_placeholders(entry) for entry in raw.values())
    return isinstance(raw, list | tuple) and any(_placeholders(item) for item in raw)


def _renderer(raw: Any) -> Render:
    if not _placeholders(raw):
        constant = _plain(raw)
        return lambda scope: constant
    if isinstance(raw, str):
        return _text_renderer(raw)
    if isinstance(raw, dict):
        entries = {key: _renderer_at(key, entry) for key, entry in raw.items()}
        return lambda scope: {key: render(scope) for key, render in entries.items()}
    items = [_renderer_at(index, item) for index, item in enumerate(raw)]
    return lambda scope: [render(scope) for render in items]


def _plain(raw: Any) -> Any:
    """A value without expressions, as it is meant."""
    if isinstance(raw, str):
        return raw.replace("$${{", "${{")
    if isinstance(raw, dict):
        return {key: _plain(entry) for key, entry in raw.items()}
    return [_plain(item) for item in raw] if isinstance(raw, list | tuple) else raw


def _renderer_at(step: int | str, raw: Any) -> Render:
    try:
        return _renderer(raw)
    except ExpressionSyntaxError as error:
        error.loc = (step, *error.loc)
        raise


def _text_renderer(raw: str) -> Render:
    pieces = _split(raw)
    texts = "".join(piece for piece in pieces if isinstance(piece, str))
    expressions = [piece for piece in pieces if isinstance(piece, Expression)]
    if len(expressions) == 1 and not texts.strip():
        return expressions[0].evaluate
    return lambda scope: "".join(
        [piece if isinstance(piece, str) else _as_text(piece, scope) for piece in pieces]
    )


def _split(raw: str) -> list[str | Expression]:
    """A text as the texts and the expressions that it is made of."""
    pieces: list[str | Expression] = []
    at = 0
    while (start := raw.find("${{", at)) >= 0:
        if start > at and raw[start - 1] == "$":
            pieces += [raw[at : start - 1], "${{"]
            at = start + 3
            continue
        end = end_of_expression(raw, start + 3)
        if end is None:
            raise ExpressionSyntaxError("${{ without its closing }}")
        pieces += [raw[at:start], Expression(raw[start + 3 : end])]
        at = end + 2
    return [*pieces, raw[at:]]


def _as_text(expression: Expression, scope: Scope) -> str:
    value = expression.evaluate(scope)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        with suppress(ValueError):  # Python writes whole numbers of up to 4300 digits
            return str(value)
    kind = repr(value) if isinstance(value, float) else kind_of(value)
    raise ExpressionError(f"{expression.source}: {kind} does not fit into a text")
