"""Event to action: pure, no network, no SDK.

receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporal_runner.config.routes import (
    ACTIONS,
    RouteSettings,
    SearchAttributeSettings,
    SignalDuplicate,
    StartedWorkflow,
)
from temporal_runner.events.event import Event
from temporal_runner.events.identity import derived_id
from temporal_runner.routing.actions import Action, StartedBy
from temporal_runner.routing.expressions import (
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    Scope,
)
from temporal_runner.routing.templates import Template

_LONGEST_ID = 1000
"""Temporal's own limit (`limit.maxIDLength`)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one route said of an event.

    Attributes:
        route: The route's label, such as `routes[0] start ProcessDocument`.
        matched: Whether it wants the event.
        error: Why that, or its action, could not be told; empty where it could.
    """

    route: str
    matched: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of an event.

    Attributes:
        action: What to do; None where no route wants the event, or its route failed.
        verdicts: What each route said, up to the one that was taken.
    """

    action: Action | None
    verdicts: Sequence[Verdict] = field(default_factory=tuple)

    @property
    def errors(self) -> list[str]:
        """Why routes could not be evaluated."""
        return [f"{verdict.route}: {verdict.error}" for verdict in self.verdicts if verdict.error]


class Route:
    """A compiled route of a listener.

    Attributes:
        label: For people: its place and what it does.
        kind: The action's name.
        name: What the action names.
        settings: As the config has it.
        connection: Which connection it uses; empty for `temporal`.
        task_queue: Where what it starts is to run; empty for the actions that start nothing.
    """

    def __init__(self, settings: RouteSettings, index: int, listener: str, connection: str) -> None:
        """Compile; what is wrong stands in `problems`, and such a route must not be used.

        Args:
            settings: The route's section.
            index: Its place in the listener's routes.
            listener: The listener's name.
            connection: The connection it uses; empty for `temporal`.
        """
        self.kind = next(action for action in ACTIONS if hasattr(settings, action))
        self.name: str = getattr(settings, self.kind)
        self.label = f"routes[{index}] {self.kind} {self.name}"
        self.settings = settings
        self.task_queue: str = getattr(settings, "task_queue", None) or ""
        self.problems: list[tuple[tuple[int | str, ...], str]] = []
        self._listener = listener
        self.connection = connection
        self._when = self._filter(settings.when)
        self._id = self._template("id", settings.id)
        self._args = self._template("args", settings.args)
        self._start_args = self._template("start_args", getattr(settings, "start_args", ()))
        self._memo = self._template("memo", getattr(settings, "memo", {}))
        self._search_attributes = self._template(
            "search_attributes",
            {name: _written(value) for name, value in _search_attributes(settings).items()},
        )
        priority = getattr(settings, "priority", None)
        self._fairness_key = self._template("priority", priority and priority.fairness_key)
        duplicate = getattr(settings, "on_duplicate", None)
        duplicate_args = duplicate.args if isinstance(duplicate, SignalDuplicate) else ()
        self._duplicate_args = self._template("on_duplicate", duplicate_args)

    @property
    def workflow(self) -> str:
        """The type of the workflow that is started, or empty."""
        if self.kind == "start":
            return self.name
        return getattr(self.settings, "workflow", "")

    def wants(self, scope: Scope) -> bool:
        """Whether the event is one of this route's.

        Raises:
            ExpressionError: The filter cannot be evaluated for it.
        """
        return self._when is None or self._when.is_true(scope)

    def action(self, scope: Scope) -> Action:
        """The action for an event.

        Raises:
            ExpressionError: One of its expressions cannot be evaluated, or the ID is no ID.
        """
        args = self._args.render(scope)
        return Action(
            kind=self.kind,
            name=self.name,
            id=self._workflow_id(scope),
            args=args,
            event=scope.event,
            listener=self._listener,
            connection=self.connection,
            settings=self.settings,
            start=self._started_by(scope, args),
            fairness_key=self._fairness_key.render(scope),
            duplicate_args=self._duplicate_args.render(scope),
        )

    def _started_by(self, scope: Scope, args: Sequence[Any]) -> StartedBy | None:
        if not isinstance(self.settings, StartedWorkflow):
            return None
        return StartedBy(
            workflow=self.workflow,
            task_queue=self.task_queue,
            args=args if self.kind == "start" else self._start_args.render(scope),
            memo=self._memo.render(scope),
            search_attributes={
                name: _typed(value) for name, value in self._search_attributes.render(scope).items()
            },
            settings=self.settings,
        )

    def _workflow_id(self, scope: Scope) -> str:
        if self.settings.id is None:
            return derived_id(self._listener, scope.event)
        value = self._id.render(scope)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise ExpressionError(f"id: {self.settings.id} gives {value!r}, which is no ID")
        if len(str(value)) > _LONGEST_ID:
            raise ExpressionError(f"id: longer than Temporal's {_LONGEST_ID} characters")
        return str(value)

    def _filter(self, source_text: str | None) -> Expression | None:
        if source_text is None:
            return None
        text = source_text.strip()
        if text.startswith("${{") and text.endswith("}}"):
            text = text[3:-2]
        try:
            return Expression(text)
        except ExpressionSyntaxError as error:
            self.problems.append((("when",), str(error)))
            return None

    def _template(self, field: str, source_text: Any) -> Template:
        try:
            return Template(source_text)
        except ExpressionSyntaxError as error:
            self.problems.append(((field, *error.loc), str(error)))
            return Template(None)


def route(routes: Sequence[Route], event: Event) -> Decision:
    """Find the first route that wants an event.

    A route whose filter cannot be evaluated does not want it, and says so in the decision: it is
    for the listener to report that, and to keep an event that no other route wants.
    """
    scope = Scope(event)
    verdicts = []
    for candidate in routes:
        try:
            if not candidate.wants(scope):
                verdicts.append(Verdict(candidate.label, False))
                continue
        except ExpressionError as error:
            verdicts.append(Verdict(candidate.label, False, f"when: {error}"))
            continue
        try:
            action = candidate.action(scope)
        except ExpressionError as error:
            verdicts.append(Verdict(candidate.label, True, str(error)))
            return Decision(None, verdicts)
        verdicts.append(Verdict(candidate.label, True))
        return Decision(action, verdicts)
    return Decision(None, verdicts)


def _search_attributes(settings: RouteSettings) -> Mapping[str, Any]:
    return settings.search_attributes if isinstance(settings, StartedWorkflow) else {}


def _written(value: Any) -> Any:
    return value.model_dump() if isinstance(value, SearchAttributeSettings) else value


def _typed(value: Any) -> tuple[str | None, Any]:
    if isinstance(value, dict) and value.keys() == {"type", "value"}:
        return value["type"], value["value"]
    return None, value
