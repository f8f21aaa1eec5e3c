"""One expression over an event, compiled once: CEL, or a path that needs none of it.

Handing an event to CEL costs more than most expressions do, so each is given what it names.
The CEL library is imported only by a config that needs it. A plain path such as `event.data` does
not: it hands the value through as it is, which also keeps what CEL has no type for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from temporal_runner.config.problems import Loc
from temporal_runner.events.event import Event
from temporal_runner.routing import expression_errors
from temporal_runner.routing.expression_compiler import Paths, compile_expression
from temporal_runner.routing.expression_cost import Weight, weigh
from temporal_runner.routing.expression_values import (
    Held,
    exactly,
    hold_back,
    kind_of,
    may_be_unfit,
    put_back,
    unfit,
)

_PATH = re.compile(r"event(?:\.[A-Za-z_]\w*)*")


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
        self._contexts: dict[Paths | None, tuple[Any, Held]] = {}
        self._weights: dict[Paths | None, Weight] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        """The event in CloudEvents' JSON form."""
        if self._attributes is None:
            self._attributes = self.event.to_dict()
        return self._attributes

    def context(self, paths: Paths | None) -> tuple[Any, Held]:
        """The CEL context of the expressions that name these paths; None is all of the event.

        Returns:
            The context, and the numbers that are held back from it by their marks.

        Raises:
            ValueError: There is something in it that CEL does not take.
        """
        found = self._contexts.get(paths)
        if found is None:
            import cel

            held: Held = {}
            named = self.named(paths)
            try:
                if may_be_unfit(named):
                    raise OverflowError
                context = cel.Context(variables={"event": named})
            except Exception:
                try:
                    context = cel.Context(variables={"event": hold_back(named, held)})
                except Exception:
                    raise ValueError(unfit(named, "event")) from None
            found = self._contexts[paths] = (context, held)
        return found

    def named(self, paths: Paths | None) -> dict[str, Any]:
        """What these paths lead to."""
        return self.attributes if paths is None else self.part(paths)

    def weight(self, paths: Paths | None) -> Weight:
        """How large that context is."""
        if paths not in self._weights:
            self._weights[paths] = weigh(self.named(paths))
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
            try:
                compiled = compile_expression(self.source)
            except ValueError as error:
                raise ExpressionSyntaxError(str(error)) from None
            self._program = compiled.program
            self._functions = compiled.functions
            self._paths = compiled.paths
            self._named_paths = compiled.named
            self._cost = compiled.cost
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
            raise ExpressionError(f"{self.source}: is {kind_of(value)}, not true or false")
        return value

    def _follow(self, scope: Scope) -> Any:
        return self._at(scope.attributes, self._steps)

    def _follow_data(self, scope: Scope) -> Any:
        return self._at(scope.event.data, self._steps[1:])

    def _at(self, value: Any, steps: list[str]) -> Any:
        for step in steps:
            if not isinstance(value, dict) or step not in value:
                reason = expression_errors.missing(self.source, step)
                raise ExpressionError(f"{self.source}: {reason}")
            value = value[step]
        return value

    def _run(self, scope: Scope) -> Any:
        if self._cost.grows and self._cost.is_too_much(weight := scope.weight(self._paths)):
            raise ExpressionError(
                f"{self.source}: too much work for one event, with lists of up to {weight.longest}"
                " entries: route on less of it, and leave this to the workflow"
            )
        held: Held = {}
        try:
            context, held = scope.context(self._paths)
            for name, function in self._functions.items():
                context.add_function(name, exactly(function, held) if held else function)
            value = self._program.execute(context)
        except KeyError as error:
            reason = expression_errors.missing(self.source, str(error.args[0]))
            raise ExpressionError(f"{self.source}: {reason}") from None
        # The library raises ValueError, TypeError, RuntimeError, OverflowError … for one cause.
        except Exception as error:
            reason = expression_errors.failure(error, self.source, dict(self._named(scope)))
            if held:
                reason = f"{reason}; {unfit(scope.named(self._paths), 'event')}"
            raise ExpressionError(f"{self.source}: {reason}") from None
        if held:
            value = put_back(value, held)
        if isinstance(value, float) and not math.isfinite(value):
            raise ExpressionError(f"{self.source}: the result is no finite number")
        return value

    def _named(self, scope: Scope) -> Iterator[tuple[str, Any]]:
        """What the expression names, or the nearest to it that the event has."""
        for path in self._named_paths:
            value: Any = scope.attributes
            steps = path.split(".")[1:]
            for depth, step in enumerate(steps):
                if not isinstance(value, dict) or step not in value:
                    yield ".".join(["event", *steps[:depth]]), value
                    break
                value = value[step]
            else:
                yield f"event{path}", value
