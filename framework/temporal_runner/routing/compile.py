"""A route's section to a route: every expression in it compiled, or all that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from temporal_runner.config.fields import SearchAttributeType
from temporal_runner.config.problems import Loc
from temporal_runner.config.routes import (
    ACTIONS,
    PrioritySettings,
    RouteSection,
    RouteSettings,
    SearchAttributeSettings,
    SignalDuplicate,
    SignalRoute,
    SignalWithStartRoute,
    StartActivityRoute,
    StartedIfAbsent,
    StartRoute,
    UpdateRoute,
    UpdateWithStartRoute,
)
from temporal_runner.events.event import Event
from temporal_runner.events.identity import derived_id
from temporal_runner.routing.actions import (
    Action,
    Signal,
    SignalWithStart,
    Start,
    StartActivity,
    Update,
    UpdateWithStart,
    WorkflowOptions,
    WorkflowStart,
)
from temporal_runner.routing.conversions import (
    check_name,
    fairness_key,
    search_attribute,
    workflow_id,
)
from temporal_runner.routing.expressions import (
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    Scope,
)
from temporal_runner.routing.routes import Route
from temporal_runner.routing.templates import Template


@dataclass(frozen=True, slots=True)
class RouteProblem:
    """An expression that is wrong.

    Attributes:
        loc: Where it stands in the route's section.
        message: What is wrong with it.
    """

    loc: Loc
    message: str


def compile_route(
    settings: RouteSection, index: int, *, listener: str, connection: str, task_queue: str | None
) -> Route | list[RouteProblem]:
    """Compile a route.

    Args:
        settings: The route's section.
        index: Its place in the listener's routes.
        listener: The listener's name.
        connection: The connection it uses; empty for `temporal`.
        task_queue: Where what it starts is to run; empty where it starts nothing. None where that
            is not known: then its expressions are checked, and there is no route.

    Returns:
        The route, or what is wrong.
    """
    compiler = _Compiler(listener, connection, task_queue or "")
    when = compiler.filter(settings.when)
    resolve: Callable[[Scope], Action]
    match settings:
        case StartRoute(start=name):
            kind, resolve = Start.kind, compiler.start(settings)
        case SignalRoute(signal=name):
            kind, resolve = Signal.kind, compiler.signal(settings)
        case SignalWithStartRoute(signal_with_start=name):
            kind, resolve = SignalWithStart.kind, compiler.signal_with_start(settings)
        case UpdateRoute(update=name):
            kind, resolve = Update.kind, compiler.update(settings)
        case UpdateWithStartRoute(update_with_start=name):
            kind, resolve = UpdateWithStart.kind, compiler.update_with_start(settings)
        case StartActivityRoute(start_activity=name):
            kind, resolve = StartActivity.kind, compiler.start_activity(settings)
    if compiler.problems or task_queue is None:
        return compiler.problems
    return Route(f"routes[{index}] {kind} {name}", settings, connection, when, resolve)


@dataclass(frozen=True, slots=True)
class _Common:
    """What all actions of a route have, with the expressions of it."""

    name: str
    listener: str
    connection: str
    id_text: str | None
    id: Template
    args: Template

    def resolve(self, scope: Scope) -> tuple[str, str, Sequence[Any], Event, str, str]:
        """The same for an event, in the order of an action's fields."""
        args = self.args.render(scope)
        return self.name, self._id(scope), args, scope.event, self.listener, self.connection

    def _id(self, scope: Scope) -> str:
        if self.id_text is None:
            return derived_id(self.listener, scope.event)
        return workflow_id(self.id.render(scope), self.id_text)


@dataclass(frozen=True, slots=True)
class _Workflow:
    """What a route starts, with the expressions of it."""

    options: WorkflowOptions
    memo: Template
    search_attributes: Mapping[str, tuple[SearchAttributeType | None, Template]]
    fairness_key: Template

    def resolve(self, scope: Scope, args: Sequence[Any]) -> WorkflowStart:
        """The same for an event."""
        return WorkflowStart(
            options=self.options,
            args=args,
            memo=self.memo.render(scope),
            search_attributes={
                name: search_attribute(name, declared, value)
                for name, (declared, template) in self.search_attributes.items()
                if (value := template.render(scope)) is not None
            },
            fairness_key=fairness_key(self.fairness_key.render(scope)),
        )


class _Compiler:
    """Compiles what stands in one section, and goes on after an error, so that all are told.

    Attributes:
        problems: What is wrong so far.
    """

    def __init__(self, listener: str, connection: str, task_queue: str) -> None:
        self.problems: list[RouteProblem] = []
        self._listener = listener
        self._connection = connection
        self._task_queue = task_queue

    def start(self, settings: StartRoute) -> Callable[[Scope], Start]:
        common = self._common(settings.start, settings)
        workflow = self._workflow(settings.start, settings)
        duplicate = settings.on_duplicate
        args: Sequence[Any] = ()
        if isinstance(duplicate, SignalDuplicate):
            self._check_name(("on_duplicate", "signal"), duplicate.signal)
            args = duplicate.args
        duplicate_args = self._template("on_duplicate", args)

        def resolve(scope: Scope) -> Start:
            resolved = common.resolve(scope)
            return Start(
                *resolved,
                settings=settings,
                start=workflow.resolve(scope, args=resolved[2]),
                duplicate_args=duplicate_args.render(scope),
            )

        return resolve

    def signal(self, settings: SignalRoute) -> Callable[[Scope], Signal]:
        common = self._common(settings.signal, settings)
        return lambda scope: Signal(*common.resolve(scope))

    def signal_with_start(
        self, settings: SignalWithStartRoute
    ) -> Callable[[Scope], SignalWithStart]:
        common = self._common(settings.signal_with_start, settings)
        start = self._start_if_absent(settings)
        return lambda scope: SignalWithStart(*common.resolve(scope), start=start(scope))

    def update(self, settings: UpdateRoute) -> Callable[[Scope], Update]:
        common = self._common(settings.update, settings)
        wait = settings.wait_for_result
        return lambda scope: Update(*common.resolve(scope), wait_for_result=wait)

    def update_with_start(
        self, settings: UpdateWithStartRoute
    ) -> Callable[[Scope], UpdateWithStart]:
        common = self._common(settings.update_with_start, settings)
        start = self._start_if_absent(settings)
        wait = settings.wait_for_result
        return lambda scope: UpdateWithStart(
            *common.resolve(scope), start=start(scope), wait_for_result=wait
        )

    def start_activity(self, settings: StartActivityRoute) -> Callable[[Scope], StartActivity]:
        common = self._common(settings.start_activity, settings)
        self._check_name(("task_queue",), settings.task_queue)
        key = self._fairness_key(settings.priority)
        return lambda scope: StartActivity(
            *common.resolve(scope), settings=settings, fairness_key=fairness_key(key.render(scope))
        )

    def filter(self, source_text: str | None) -> Expression | None:
        if source_text is None:
            return None
        text = source_text.strip()
        if text.startswith("${{") and text.endswith("}}"):
            text = text[3:-2]
        try:
            return Expression(text)
        except ExpressionSyntaxError as error:
            self.problems.append(RouteProblem(("when",), str(error)))
            return None

    def _common(self, name: str, settings: RouteSettings) -> _Common:
        self._check_name((next(one for one in ACTIONS if hasattr(settings, one)),), name)
        template = self._template("id", settings.id)
        if settings.id is not None and not template.expressions:
            self._check_name(("id",), settings.id)
        return _Common(
            name,
            self._listener,
            self._connection,
            settings.id,
            template,
            self._template("args", settings.args),
        )

    def _start_if_absent(self, settings: StartedIfAbsent) -> Callable[[Scope], WorkflowStart]:
        args = self._template("start_args", settings.start_args)
        self._check_name(("workflow",), settings.workflow)
        workflow = self._workflow(settings.workflow, settings)
        return lambda scope: workflow.resolve(scope, args.render(scope))

    def _workflow(self, name: str, settings: StartRoute | StartedIfAbsent) -> _Workflow:
        self._check_name(("task_queue",), self._task_queue)
        return _Workflow(
            WorkflowOptions(workflow=name, task_queue=self._task_queue, settings=settings),
            self._template("memo", settings.memo),
            {
                name: self._search_attribute(name, value)
                for name, value in settings.search_attributes.items()
            },
            self._fairness_key(settings.priority),
        )

    def _search_attribute(
        self, name: str, given: Any
    ) -> tuple[SearchAttributeType | None, Template]:
        """Its type where the config gives one (an event's never counts), and its value."""
        loc: Loc = ("search_attributes", name)
        typed = isinstance(given, SearchAttributeSettings)
        declared = given.type if typed else None
        value = given.value if typed else given
        sound = len(self.problems)
        template = self._template(loc + ("value",) * typed, value)
        if not template.expressions and value is not None and len(self.problems) == sound:
            try:
                search_attribute(name, declared, value)
            except ExpressionError as error:
                self.problems.append(RouteProblem(loc, str(error)))
        return declared, template

    def _check_name(self, loc: Loc, name: str) -> None:
        """Find what Temporal would refuse for each event."""
        try:
            check_name(name)
        except ValueError as error:
            self.problems.append(RouteProblem(loc, f"{name[:60]!r} {error}"))

    def _fairness_key(self, priority: PrioritySettings | None) -> Template:
        return self._template("priority", priority and priority.fairness_key)

    def _template(self, field: str | Loc, source_text: Any) -> Template:
        loc = (field,) if isinstance(field, str) else field
        try:
            return Template(source_text)
        except ExpressionSyntaxError as error:
            self.problems.append(RouteProblem((*loc, *error.loc), str(error)))
            return Template(None)
