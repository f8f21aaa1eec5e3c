"""Where a `${{ … }}` ends: its expression may hold braces and quotes of its own.

Environment variables are put into what is around the expressions, which are left for the routes.
"""

from __future__ import annotations

import re

_RAW = r"(?<!\w)(?:[bB]?[rR])"
STRING = re.compile(
    rf"{_RAW}\"\"\"[\s\S]*?\"\"\"|{_RAW}'''[\s\S]*?'''|{_RAW}\"[^\"\n]*\"|{_RAW}'[^'\n]*'"
    r"|\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\"|'''(?:\\[\s\S]|[^\\])*?'''"
    r"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
)
"""A text that is written down in an expression."""
_BRACE_OR_STRING = re.compile(rf"[{{}}]|{STRING.pattern}")


def end_of_expression(text: str, start: int) -> int | None:
    """Where the `}}` stands that closes an expression; braces and quotes in it are CEL's own.

    Args:
        text: The text that the expression stands in.
        start: Where the expression begins, after its `${{`.
    """
    depth = 0
    for mark in _BRACE_OR_STRING.finditer(text, start):
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}" and depth:
            depth -= 1
        elif text.startswith("}}", mark.start()):
            return mark.start()
    return None
