"""One expression over an event, compiled once: CEL, or a path that needs none of it.

Handing an event to CEL costs more than most expressions do, so each is given what it names.
The CEL library is imported only by a config that needs it. A plain path such as `event.data` does
not: it hands the value through as it is, which also keeps what CEL has no type for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from temporal_runner.config.placeholders import STRING
from temporal_runner.config.problems import Loc
from temporal_runner.events.event import Event
from temporal_runner.routing.expression_cost import Weight, cost_of, limited, weigh
from temporal_runner.values.wording import one_line, suggest

_PATH = re.compile(r"event(?:\.[A-Za-z_]\w*)*")
Paths = tuple[tuple[str, ...], ...]
_NAMED = re.compile(r"(?<![\w.])event((?:\.[A-Za-z_]\w*)*)(?!\w)")
_BOUND = re.compile(r"\.\s*(?:map|filter|all|exists|exists_one)\s*\(\s*([A-Za-z_]\w*)\s*,")
_SYNTAX_ERROR = re.compile(
    r"<input>:\d+:(\d+): (?:Syntax error: )?(.*?)(?: expecting .*)?$", re.MULTILINE
)
_HABITS = (
    (re.compile(r"\band\b|[^&]&[^&]"), "&& for and"),
    (re.compile(r"\bor\b|[^|]\|[^|]"), "|| for or"),
    (re.compile(r"\bnot\b"), "! for not"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "== for equal"),
)
_ATTRIBUTES = frozenset(["id", "source", "type", "subject", "time", "data", "datacontenttype"])
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
# What the library's core language has beyond operators, which are named like `_+_` or `!_`.
_CORE_FUNCTIONS = frozenset(
    "all bool bytes contains double duration endsWith exists exists_one filter getDate"  # noqa: SIM905
    " getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes"
    " getMonth getSeconds has int map matches max min size startsWith string timestamp type"
    " uint".split()
)


class ExpressionSyntaxError(ValueError):
    """The text is not an expression: found when the plan is made.

    Attributes:
        loc: Where in a template's structure it stands: keys and indexes.
    """

    loc: Loc = ()


class ExpressionError(Exception):
    """An expression cannot be evaluated for this event: a field is missing, types do not fit."""


class Scope:
    """What expressions see of one event."""

    __slots__ = ("_attributes", "_contexts", "_weights", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._attributes: dict[str, Any] | None = None
        self._contexts: dict[Paths | None, Any] = {}
        self._weights: dict[Paths | None, Weight] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        """The event in CloudEvents' JSON form."""
        if self._attributes is None:
            self._attributes = self.event.to_dict()
        return self._attributes

    def context(self, paths: Paths | None) -> Any:
        """The CEL context of the expressions that name these paths; None is all of the event."""
        context = self._contexts.get(paths)
        if context is None:
            import cel

            named = self.attributes if paths is None else self.part(paths)
            context = self._contexts[paths] = cel.Context(variables={"event": named})
        return context

    def weight(self, paths: Paths | None) -> Weight:
        """How large that context is."""
        if paths not in self._weights:
            self._weights[paths] = weigh(self.attributes if paths is None else self.part(paths))
        return self._weights[paths]

    def part(self, paths: Paths) -> dict[str, Any]:
        """The attributes, less what is at none of these paths."""
        part: dict[str, Any] = {}
        for *around, last in paths:
            here, into = self.attributes, part
            for step in around:
                value, kept = here.get(step), into.get(step)
                if not isinstance(value, dict) or kept is value:  # no such path, or all is in
                    if step in here:
                        into[step] = value
                    break
                if kept is None:
                    kept = into[step] = {}
                here, into = value, kept
            else:
                if last in here:
                    into[last] = here[last]
        return part


class Expression:
    """One compiled CEL expression over `event`.

    Attributes:
        source: Its text.
    """

    def __init__(self, source: str) -> None:
        """Compile.

        Raises:
            ExpressionSyntaxError: It is no CEL, or names a variable or function there is not.
        """
        self.source = source.strip()
        if not self.source:
            raise ExpressionSyntaxError("the expression is empty")
        if _PATH.fullmatch(self.source):
            self._steps = self.source.split(".")[1:]
            of_data = self._steps[:1] == ["data"]
            self._evaluate = self._follow_data if of_data else self._follow
        else:
            self._program, self._functions = _compile(self.source)
            self._paths = _paths(self.source)
            self._cost = cost_of(_blank_strings(self.source))
            self._evaluate = self._run

    def evaluate(self, scope: Scope) -> Any:
        """The value for one event.

        Raises:
            ExpressionError: It cannot be evaluated; the message names the expression and why.
        """
        return self._evaluate(scope)

    def is_true(self, scope: Scope) -> bool:
        """The value as a filter's answer.

        Raises:
            ExpressionError: It cannot be evaluated, or is neither true nor false.
        """
        value = self._evaluate(scope)
        if not isinstance(value, bool):
            raise ExpressionError(f"{self.source}: is {type(value).__name__}, not true or false")
        return value

    def _follow(self, scope: Scope) -> Any:
        return self._at(scope.attributes, self._steps)

    def _follow_data(self, scope: Scope) -> Any:
        return self._at(scope.event.data, self._steps[1:])

    def _at(self, value: Any, steps: list[str]) -> Any:
        for step in steps:
            if not isinstance(value, dict) or step not in value:
                raise ExpressionError(f"{self.source}: the event has no {step!r} there")
            value = value[step]
        return value

    def _run(self, scope: Scope) -> Any:
        if self._cost.grows and self._cost.is_too_much(weight := scope.weight(self._paths)):
            raise ExpressionError(
                f"{self.source}: too much work for one event, with lists of up to {weight.longest}"
                " entries: route on less of it, and leave this to the workflow"
            )
        try:
            context = scope.context(self._paths)
            for name, function in self._functions.items():
                context.add_function(name, function)
            return self._program.execute(context)
        except KeyError as error:
            raise ExpressionError(f"{self.source}: the event has no {error} there") from None
        # The library raises ValueError, TypeError, RuntimeError, OverflowError … for one cause.
        except Exception as error:
            raise ExpressionError(f"{self.source}: {one_line(error)}") from None


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


def _compile(source: str) -> tuple[Any, dict[str, Callable[..., Any]]]:
    import cel
    from cel import stdlib

    try:
        program = cel.compile(source)
    except Exception as error:
        raise ExpressionSyntaxError(f"not a CEL expression: {_reason(source, error)}") from None
    names = set(program.variables()) - {"event"} - set(_BOUND.findall(source)) - _TYPES
    # `math.abs(x)` is reported as the variable `math` and the function `abs`.
    called = {name for name in program.functions() if name[0].isalpha()}
    functions = {
        name: limited(name, function)
        for name, function in stdlib.STDLIB_FUNCTIONS.items()
        if name in called or (name.split(".")[0] in names and name.split(".")[-1] in called)
    }
    unknown = names - {name.split(".")[0] for name in functions if "." in name}
    if unknown:
        name = min(unknown)
        hint = f"did you mean event.{name}?" if name in _ATTRIBUTES else "there is only `event`"
        raise ExpressionSyntaxError(f"unknown name {name!r}; {hint}")
    unknown = called - _CORE_FUNCTIONS - {name.split(".")[-1] for name in functions}
    if unknown:
        name = min(unknown)
        hint = suggest(name, [*_CORE_FUNCTIONS, *stdlib.STDLIB_FUNCTIONS])
        raise ExpressionSyntaxError(f"unknown function {name!r}{hint}")
    return program, functions


def _reason(source: str, error: Exception) -> str:
    """What the compiler says, and what people who know other languages may have meant."""
    found = _SYNTAX_ERROR.search(str(error))
    reason = f"{found[2]} (at its character {found[1]})" if found else str(error)
    reason = reason.replace("'<EOF>'", "its end")
    if "recursion limit" in reason.lower():
        return "it is nested too deeply"
    for habit, word in _HABITS:
        if habit.search(STRING.sub('""', source)):
            return f"{reason}; CEL writes {word}"
    return reason
