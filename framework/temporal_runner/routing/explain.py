"""Says in words what routes made of an event, and what an action would do: for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from temporal_runner.events.event import Event
from temporal_runner.routing.actions import (
    Action,
    Signal,
    SignalWithStart,
    Start,
    StartActivity,
    Update,
    UpdateWithStart,
    WorkflowStart,
)
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope
from temporal_runner.routing.routes import Decision, Route
from temporal_runner.values.wording import one_line

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
    filter_text = one_line(when)
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
    facts = {"id": action.id, **_facts(action)}
    lines = [f"  {name}: {value}" for name, value in facts.items() if value]
    return "\n".join([f"{action.kind} {action.name}", *lines])


def _facts(action: Action) -> dict[str, str]:
    args = as_json(list(action.args))
    match action:
        case Start(start=start):
            queue = start.options.task_queue
            own = {"task queue": queue, "connection": action.connection, "args": args}
            return own | _of_start(start)
        case SignalWithStart(start=start) | UpdateWithStart(start=start):
            return {
                "workflow": start.options.workflow,
                "task queue": start.options.task_queue,
                "connection": action.connection,
                "args": args,
                "start args": as_json(list(start.args)),
                **_of_start(start),
            }
        case StartActivity(settings=settings, fairness_key=key):
            queue = settings.task_queue
            own = {"task queue": queue, "connection": action.connection, "args": args}
            return own | {"fairness key": key or ""}
        case Signal() | Update():
            return {"connection": action.connection, "args": args}


def _of_start(start: WorkflowStart) -> dict[str, str]:
    values = {
        name: {"type": kind, "value": value}
        for name, (kind, value) in start.search_attributes.items()
    }
    return {
        "memo": as_json(dict(start.memo)) if start.memo else "",
        "search attributes": as_json(values) if values else "",
        "fairness key": start.fairness_key or "",
    }


def as_json(value: Any) -> str:
    """A value as JSON; what JSON has no form for is written as text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _short(value: Any) -> str:
    text = as_json(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
