"""Says in words what routes made of an event, and what an action would do: for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from temporal_runner.events.event import Event
from temporal_runner.routing.actions import Action
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope
from temporal_runner.routing.routes import Decision, Route

_PATH = re.compile(r"\bevent(?:\.[A-Za-z_]\w*(?![\w(]))+")
"""A path, without the method that may end it: of `event.type.startsWith(…)`, `event.type`."""
_LONGEST_VALUE = 60


def reasons(routes: Sequence[Route], decision: Decision, event: Event) -> Iterator[str]:
    """Why each route did or did not match, a line each."""
    for candidate, verdict in zip(routes, decision.verdicts, strict=False):
        if verdict.error:
            yield f"{verdict.route}: {'matches, but ' if verdict.matched else ''}{verdict.error}"
        elif candidate.settings.when is None:
            yield f"{verdict.route}: matches: it has no `when`"
        else:
            answer = "matches" if verdict.matched else "does not match"
            yield f"{verdict.route}: {answer}: {_filter(candidate.settings.when, event)}"
    for candidate in routes[len(decision.verdicts) :]:
        yield f"{candidate.label}: not asked: a route before it matches"


def _filter(when: str, event: Event) -> str:
    """A filter's text, with the values of what it looks at."""
    filter_text = " ".join(when.split())
    scope = Scope(event)
    values = []
    for path in dict.fromkeys(_PATH.findall(filter_text)):
        try:
            values.append(f"{path} is {_short(Expression(path).evaluate(scope))}")
        except ExpressionError:
            values.append(f"there is no {path}")
    return f"{filter_text} ({', '.join(values)})" if values else filter_text


def outline(action: Action) -> str:
    """What an action does: its name, and a line for each thing that it gives to Temporal."""
    started = action.start
    facts: dict[str, Any] = {"id": action.id}
    if started is not None and action.kind != "start":
        facts["workflow"] = started.workflow
    queue = started.task_queue if started else getattr(action.settings, "task_queue", "")
    facts |= {"task queue": queue, "connection": action.connection}
    facts["args"] = as_json(list(action.args))
    if started is not None and action.kind != "start":
        facts["start args"] = as_json(list(started.args))
    if started is not None and started.memo:
        facts["memo"] = as_json(dict(started.memo))
    if started is not None and started.search_attributes:
        values = {name: value for name, (_, value) in started.search_attributes.items()}
        facts["search attributes"] = as_json(values)
    lines = [f"  {name}: {value}" for name, value in facts.items() if value]
    return "\n".join([f"{action.kind} {action.name}", *lines])


def as_json(value: Any) -> str:
    """A value as JSON; what JSON has no form for is written as text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _short(value: Any) -> str:
    text = as_json(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
