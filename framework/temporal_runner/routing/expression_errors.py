"""What is wrong with an expression, in plain words: when it is compiled, and for one event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from temporal_runner.routing.expression_values import kind_of
from temporal_runner.values.wording import suggest

_SYNTAX_ERROR = re.compile(
    r"<input>:\d+:(\d+): (?:Syntax error: )?(.*?)(?: expecting .*)?$", re.MULTILINE
)
_HABITS = (
    (re.compile(r"\band\b|[^&]&[^&]"), "&& for and"),
    (re.compile(r"\bor\b|[^|]\|[^|]"), "|| for or"),
    (re.compile(r"\bnot\b"), "! for not"),
    (re.compile(r"(?<![=!<>])=(?!=)|==="), "== for equal"),
)
_ATTRIBUTES = frozenset(["id", "source", "type", "subject", "time", "data", "datacontenttype"])
_NAMES_OF_OTHERS = {
    **dict.fromkeys(["True", "TRUE"], "true"),
    **dict.fromkeys(["False", "FALSE"], "false"),
    **dict.fromkeys(["None", "nil", "undefined", "NULL"], "null"),
}
_FUNCTIONS_OF_OTHERS = {
    **dict.fromkeys(["len", "length", "count"], "size"),
    **dict.fromkeys(["lower", "toLower", "toLowerCase"], "lowerAscii"),
    **dict.fromkeys(["upper", "toUpper", "toUpperCase"], "upperAscii"),
    **dict.fromkeys(["str", "toString"], "string"),
    **dict.fromkeys(["any", "some"], "exists"),
    **dict.fromkeys(["match", "test", "regex"], "matches"),
    "strip": "trim",
    "every": "all",
    "includes": "contains",
    "float": "double",
}
_DASHED = re.compile(r"((?:\bevent)(?:\s*\.\s*\w+)*)\s*\.\s*(\w+(?:-[A-Za-z_]\w*)+)(?!\s*\()")
_IN_A_FUNCTION = re.compile(r"Function '([\w.]+)' error: (.*?)(?:\. Check function arg.*)?$")
_IN_PYTHON = re.compile(r"Python function call failed: \w+: (.*)$")
_LONGEST_REASON = 300
_MOST_NAMED = 5
_LENGTH = re.compile(r"\.\s*(?:length|len|count)\b(?!\s*\()")
_MIXED = (
    "No such overload",
    "Unsupported operation",
    "Cannot mix",
    "Unexpected type",
    "Undefined variable or func",
)
_BAD_TEXTS = {
    "int": "int(): the text is no whole number of 64 bits",
    "uint": "uint(): the text is no whole number of 64 bits, 0 or more",
    "timestamp": "timestamp(): the text is no time in RFC 3339, such as 2026-01-02T03:04:05Z",
    "duration": "duration(): the text is no duration, such as 90s or 1h30m",
}


def syntax(source: str, error: Exception) -> str:
    """What the compiler says, and what people who know other languages may have meant.

    Args:
        source: The expression, less what is in its texts.
        error: What it says.
    """
    found = _SYNTAX_ERROR.search(str(error))
    reason = f"{found[2]} (at its character {found[1]})" if found else str(error)
    reason = reason.replace("'<EOF>'", "its end")
    if "recursion limit" in reason.lower():
        return "it is nested too deeply"
    for habit, word in _HABITS:
        if habit.search(source):
            return f"{reason}; CEL writes {word}"
    return reason


def unknown_name(source: str, name: str) -> str:
    """What to do about a name there is not."""
    for around, dashed in _DASHED.findall(source):
        if name in dashed.split("-"):
            return _dash(around, dashed)
    if name in _NAMES_OF_OTHERS:
        return f"CEL writes {_NAMES_OF_OTHERS[name]}"
    return f"did you mean event.{name}?" if name in _ATTRIBUTES else "there is only `event`"


def unknown_function(name: str, known: Iterable[str]) -> str:
    """Which function may have been meant; empty where none is near."""
    if name in _FUNCTIONS_OF_OTHERS:
        return f"; CEL writes {_FUNCTIONS_OF_OTHERS[name]}"
    return suggest(name, known)


def missing(source: str, name: str) -> str:
    """The event has no field of a name, and what else may have been meant."""
    reason = f"the event has no {name!r} there"
    if name in ("length", "len", "count"):
        return f"{reason}; how many there are is size(…)"
    for around, dashed in _DASHED.findall(source):
        if name == dashed.split("-")[0]:
            return f"{reason}; {_dash(around, dashed)}"
    if re.search(rf"\.\s*{re.escape(name)}\s*[!=]=\s*null\b", source):
        return f"{reason}; a field that is missing is not null: ask has(….{name})"
    return reason


def _dash(around: str, dashed: str) -> str:
    return f'a name with a dash is written {"".join(around.split())}["{dashed}"]'


def failure(error: Exception, source: str, named: Mapping[str, Any]) -> str:
    """Why an expression cannot be evaluated for an event.

    Args:
        error: What the CEL library says.
        source: The expression.
        named: The values that it names, by their paths.
    """
    text = " ".join(str(error).split())
    if text.startswith("Arithmetic overflow"):
        return "the result is beyond 64 bits"
    if any(text.startswith(start) for start in _MIXED):
        return _mixed(source, named)
    of_function = _IN_A_FUNCTION.match(text)
    if of_function:
        return _shorten(_of_function(of_function[1], of_function[2]))
    return _shorten(text)


def _of_function(name: str, text: str) -> str:
    in_python = _IN_PYTHON.search(text)
    if in_python:
        said = in_python[1]
        return said if said.startswith((name, "double")) else f"{name}(): {said}"
    if "integer overflow" in text:
        below = ", or below 0" if name == "uint" else ""
        return f"{name}(): the number is beyond 64 bits{below}"
    if name in _BAD_TEXTS:
        return _BAD_TEXTS[name]
    if name == "matches":
        return f"matches(): no regular expression: {text.rpartition('error: ')[2]}"
    return f"{name}(): {text}"


def _mixed(source: str, named: Mapping[str, Any]) -> str:
    told = "".join(f"; {path} is {kind_of(named[path])}" for path in list(named)[:_MOST_NAMED])
    nulls = [path for path, value in named.items() if value is None]
    if nulls:
        step = f"ask {nulls[0]} != null first"
    elif _LENGTH.search(source):
        step = "how many there are is size(…)"
    else:
        step = "CEL does not mix types: convert with int(), double() or string()"
    return f"these types do not go together{told}; {step}"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
