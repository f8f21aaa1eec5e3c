"""Resolves the sections of a config one by one: connections, retries, workers, listeners."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import Plugin as ClientPlugin
from temporalio.converter import DataConverter
from temporalio.worker import Interceptor as WorkerInterceptor
from temporalio.worker import Plugin as WorkerPlugin

from temporal_runner.config.connections import ConnectionSettings
from temporal_runner.config.load import LoadedConfig
from temporal_runner.config.model import ListenerSettings, RetrySettings
from temporal_runner.config.validate import check
from temporal_runner.config.yaml_tree import Node
from temporal_runner.errors import PluginError
from temporal_runner.plan import definitions
from temporal_runner.plan.definitions import DefinitionError
from temporal_runner.plan.records import (
    DEFAULT_CONNECTION,
    ConnectionPlan,
    ListenerPlan,
    WorkerPlan,
)
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.plugin.sources import EventSourceKind
from temporal_runner.retry.backoff import Backoff, Timing
from temporal_runner.retry.connector import DEFAULT as DEFAULT_RETRY
from temporal_runner.retry.connector import RetryOptions
from temporal_runner.routing.routes import Route

T = TypeVar("T")
Loc = tuple[int | str, ...]


class Sections:
    """Resolves one section after the other, and adds what is wrong to the loaded problems."""

    def __init__(self, loaded: LoadedConfig, catalog: Catalog, only: Collection[str] = ()) -> None:
        self._loaded = loaded
        self._only = only
        self._settings = loaded.settings
        self._catalog = catalog
        self._claims: dict[tuple[str, str], str] = {}
        self._retry = self._retry_options(self._settings.retry, ("retry",))
        self._restart = self._retry_options(self._settings.restart, ("restart",))

    # Connections.

    def connections(self) -> dict[str, ConnectionPlan]:
        """Every connection by name."""
        temporal = self._settings.temporal
        plans = {DEFAULT_CONNECTION: self._connection(DEFAULT_CONNECTION, temporal, ("temporal",))}
        for name, settings in self._settings.connections.items():
            if settings.address is None and settings.profile is None:
                changes = {key: getattr(settings, key) for key in settings.model_fields_set}
                base = {
                    key: getattr(temporal, key)
                    for key in ConnectionSettings.model_fields
                    if key in temporal.model_fields_set
                }
                settings = ConnectionSettings.model_construct(**{**base, **changes})
            plans[name] = self._connection(name, settings, ("connections", name))
        return plans

    def _connection(self, name: str, settings: ConnectionSettings, loc: Loc) -> ConnectionPlan:
        converter = settings.data_converter
        return ConnectionPlan(
            name=name,
            settings=settings,
            retry=self._retry,
            data_converter=self._try(
                lambda: definitions.extension_of(converter, DataConverter) if converter else None,
                (*loc, "data_converter"),
            ),
            plugins=self._all(settings.plugins, ClientPlugin, (*loc, "plugins")),
            interceptors=self._all(
                settings.interceptors, ClientInterceptor, (*loc, "interceptors")
            ),
            dev_server=getattr(settings, "dev_server", None),
        )

    def _connection_name(self, name: str | None, loc: Loc) -> str:
        if name is None:
            return DEFAULT_CONNECTION
        if name not in self._settings.connections:
            known = list(self._settings.connections)
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            self._loaded.problem((*loc, "connection"), f"unknown connection {name!r}; {hint}")
        return name

    # Retries.

    def _retry_options(
        self, settings: RetrySettings, loc: Loc, options_loc: Loc | None = None
    ) -> RetryOptions:
        timing = Timing(
            settings.base_delay.total_seconds(), settings.max_delay.total_seconds(), settings.factor
        )
        options_loc = options_loc or (*loc, "options")
        try:
            kind = self._catalog.strategies.get(settings.strategy)
            build = self._catalog.strategies.build(settings.strategy)
        except PluginError as error:
            self._loaded.problem((*loc, "strategy"), str(error))
            return DEFAULT_RETRY  # the rest can still be checked
        options = self._checked(kind.options, options_loc)
        jitter = settings.jitter or kind.jitter
        return retry_options(settings, Backoff(kind.name, build, timing, options, jitter))

    def _changed(
        self, base: RetrySettings, changes: RetrySettings | None, loc: Loc
    ) -> RetryOptions:
        if changes is None:
            return self._retry
        fields = {name: getattr(changes, name) for name in changes.model_fields_set}
        # A strategy's own options are inherited with it, and not by another strategy.
        inherited = not fields.keys() & {"strategy", "options"}
        options_loc: Loc = ("retry", "options") if inherited else (*loc, "options")
        return self._retry_options(base.model_copy(update=fields), loc, options_loc)

    # Workers.

    def worker(self, name: str) -> WorkerPlan | None:
        """One worker; None where its definitions are not sound."""
        settings = self._settings.workers[name]
        loc: Loc = ("workers", name)
        before = len(self._loaded.problems)
        workflows = self._definitions(
            "workflow",
            settings.workflows,
            definitions.workflows_of,
            definitions.workflow_type,
            (*loc, "workflows"),
        )
        activities = self._definitions(
            "activity",
            settings.activities,
            definitions.activities_of,
            definitions.activity_type,
            (*loc, "activities"),
        )
        factory = settings.activity_executor.factory
        plan = WorkerPlan(
            name=name,
            settings=settings,
            connection=self._connection_name(settings.connection, loc),
            restart=self._restart,
            workflows=workflows,
            activities=activities,
            interceptors=self._all(
                settings.interceptors, WorkerInterceptor, (*loc, "interceptors")
            ),
            plugins=self._all(settings.plugins, WorkerPlugin, (*loc, "plugins")),
            failure_types=self._each(
                settings.workflow_failure_exception_types,
                definitions.exception_of,
                (*loc, "workflow_failure_exception_types"),
            ),
            make_executor=self._try(
                lambda: definitions.factory_of(factory) if factory else None,
                (*loc, "activity_executor", "factory"),
            ),
            alone=self._loaded.of_worker(name) if settings.processes > 1 else None,
        )
        return plan if len(self._loaded.problems) == before else None

    def _definitions(
        self,
        noun: str,
        targets: Sequence[str],
        find: Callable[[str], Sequence[Any]],
        name_of: Callable[[Any], str | None],
        loc: Loc,
    ) -> list[Any]:
        found: dict[str, Any] = {}
        first: dict[str, str] = {}
        for index, target in enumerate(targets):
            for item in self._try(lambda target=target: find(target), (*loc, index)) or ():  # type: ignore[misc]
                name = name_of(item) or "(dynamic)"
                if name in found:
                    again = f" (first by {first[name]})"
                    self._loaded.problem(
                        (*loc, index), f"the {noun} {name!r} is given twice{again}"
                    )
                found[name] = item
                first[name] = target
        return list(found.values())

    # Listeners.

    def listener(self, name: str) -> ListenerPlan | None:
        """One listener; None where its source, options or routes are not sound."""
        settings = self._settings.listeners[name]
        loc: Loc = ("listeners", name)
        before = len(self._loaded.problems)
        connection = self._connection_name(settings.connection, loc)
        retry = self._changed(self._settings.retry, settings.retry, (*loc, "retry"))
        routes = self._routes(settings, connection, name, loc)
        try:
            kind = self._catalog.sources.get(settings.source)
            options = self._checked(kind.options, (*loc, "options"))
            # A container that runs one part of a config would else load every cloud's SDK.
            runs = not self._only or name in self._only
            build = self._catalog.sources.build(settings.source) if runs else _not_built
        except PluginError as error:
            self._loaded.problem((*loc, "source"), str(error))
            return None
        self._check_inbox(settings, name, loc)
        node = self._loaded.tree.follow(loc)[0]
        if len(self._loaded.problems) > before or any(node.bad for node in node.scalars()):
            return None
        self._claim(kind, options, name)
        return ListenerPlan(
            name=name,
            settings=settings,
            connection=connection,
            retry=retry,
            restart=self._restart,
            kind=kind,
            build=build,
            options=options,
            routes=routes,
        )

    def _check_inbox(self, settings: ListenerSettings, name: str, loc: Loc) -> None:
        if settings.inbox is None:
            return
        file = str(settings.inbox.path.absolute())
        other = self._claims.setdefault(("inbox", file), name)
        if other != name:
            message = f"the listener {other} has that inbox already: give this one another file"
            self._loaded.problem((*loc, "inbox", "path"), message)
        for index, route in enumerate(settings.routes):
            if getattr(route, "wait_for_result", None) is not None:
                message = "with an inbox the sender is answered before the workflow runs: remove"
                at = (*loc, "routes", index, "wait_for_result")
                self._loaded.problem(at, f"{message} wait_for_result, or the inbox")

    def check_options_of_the_rest(self) -> None:
        """Listeners with an error elsewhere in them are left out; their options can be checked."""
        node = self._loaded.tree.child("listeners")
        names = node.value if node and isinstance(node.value, dict) else {}
        for name in names.keys() - self._settings.listeners.keys():
            source = names[name].child("source")
            if source is None or not isinstance(source.value, str) or source.bad:
                continue
            try:
                kind = self._catalog.sources.get(source.value)
            except PluginError as error:
                self._loaded.problem(("listeners", name, "source"), str(error))
            else:
                self._checked(kind.options, ("listeners", name, "options"))

    def _claim(self, kind: EventSourceKind, options: BaseModel, name: str) -> None:
        try:
            claims = list(kind.claims(options)) if kind.claims else []
        except Exception as error:  # a plugin is foreign code
            message = f"the source {kind.name!r} cannot say what it claims: {error!r}"
            self._loaded.problem(("listeners", name, "options"), message)
            return
        for claim in claims:
            other = self._claims.setdefault((kind.name, claim), name)
            if other != name:
                message = f"the listener {other} has {claim} already: give this one another"
                self._loaded.problem(("listeners", name, "options"), message)

    def _routes(
        self, settings: ListenerSettings, connection: str, name: str, loc: Loc
    ) -> list[Route]:
        routes = []
        for index, section in enumerate(settings.routes):
            at: Loc = (*loc, "routes", index)
            own = (
                self._connection_name(section.connection, at) if section.connection else connection
            )
            route = Route(section, index, name, own or connection)
            for step, message in route.problems:
                self._loaded.problem((*at, *step), message)
            routes.append(route)
        return routes

    def check_names(self) -> None:
        """`--only` and the logs tell components by their names alone."""
        for name in self._settings.listeners.keys() & self._settings.workers.keys():
            message = "a worker has that name too: give one of them another"
            self._loaded.problem(("listeners", name), message, at_key=True)

    # Helpers: do one thing, or report it at its place and go on.

    def _try(self, work: Callable[[], T], loc: Loc) -> T | None:
        try:
            return work()
        except DefinitionError as error:
            self._loaded.problem(loc, str(error))
            return None

    def _all(self, targets: Sequence[str], what: Any, loc: Loc) -> list[Any]:
        return self._each(targets, lambda target: definitions.extension_of(target, what), loc)

    def _each(self, targets: Sequence[str], find: Callable[[str], T], loc: Loc) -> list[T]:
        found = []
        for index, target in enumerate(targets):
            item = self._try(lambda target=target: find(target), (*loc, index))  # type: ignore[misc]
            if item is not None:
                found.append(item)
        return found

    def _checked(self, model: type[BaseModel], loc: Loc) -> BaseModel:
        """The options at `loc` as the plugin's own model."""
        node, steps = self._loaded.tree.follow(loc)
        if steps != loc:
            node = Node({}, node.spot, node.key)
        unlisted = None if model.model_config.get("extra") else "forbid"
        options, problems, _ = check(model, node, loc, unlisted=unlisted)
        self._loaded.problems += problems
        return model.model_construct() if options is None else options


def _not_built(*_: object) -> NoReturn:
    raise AssertionError("this listener is not one of those that --only names")


def retry_options(settings: RetrySettings, backoff: Backoff) -> RetryOptions:
    """A retry section with its strategy resolved."""

    def seconds(duration: timedelta | None) -> float | None:
        return None if duration is None else duration.total_seconds()

    return RetryOptions(
        backoff,
        max_attempts=settings.max_attempts,
        timeout=seconds(settings.timeout),
        attempt_timeout=seconds(settings.attempt_timeout),
        wake_on_port=settings.wake_on_port,
    )
