"""A listener's section to its plan: its source's kind and options, its routes compiled."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from pydantic import BaseModel

from temporal_runner.config.model import ListenerSettings
from temporal_runner.config.problems import Loc
from temporal_runner.config.routes import UpdateRoute, UpdateWithStartRoute
from temporal_runner.errors import PluginError
from temporal_runner.plan.records import ListenerPlan
from temporal_runner.plan.resolve import Resolver
from temporal_runner.plan.retries import Retries
from temporal_runner.plan.task_queues import TaskQueues
from temporal_runner.plugin.sources import EventSourceKind
from temporal_runner.routing.compile import compile_route
from temporal_runner.routing.routes import Route


class Listeners:
    """Plans one listener after the other, and sees that no two claim the same."""

    def __init__(
        self, resolver: Resolver, retries: Retries, queues: TaskQueues, only: Collection[str]
    ) -> None:
        """Plan nothing yet.

        Args:
            resolver: Looks up what the listeners name.
            retries: The config's retries.
            queues: What the config's workers serve.
            only: Names of those that run; empty is all.
        """
        self._resolver = resolver
        self._loaded = resolver.loaded
        self._settings = resolver.settings
        self._retries = retries
        self._queues = queues
        self._only = only
        self._claims: dict[tuple[str, str], str] = {}

    def plan(self, name: str) -> ListenerPlan | None:
        """One listener; None where its source, options or routes are not sound."""
        settings = self._settings.listeners[name]
        loc: Loc = ("listeners", name)
        before = len(self._loaded.problems)
        connection = self._resolver.connection_name(settings.connection, loc)
        retry = self._retries.changed(settings.retry, (*loc, "retry"))
        connections = [
            self._resolver.connection_name(route.connection, (*loc, "routes", index))
            if route.connection
            else connection
            for index, route in enumerate(settings.routes)
        ]
        routes = self._routes(settings, connections, name, loc)
        sources = self._resolver.catalog.sources
        try:
            kind = sources.get(settings.source)
            options = self._resolver.options(kind.options, (*loc, "options"))
            # A container that runs one part of a config would else load every cloud's SDK.
            runs = not self._only or name in self._only
            build = sources.build(settings.source) if runs else _not_built
        except PluginError as error:
            self._loaded.problem((*loc, "source"), str(error))
            return None
        self._check_inbox(settings, name, loc)
        node = self._loaded.tree.follow(loc)[0]
        if len(self._loaded.problems) > before or any(node.bad for node in node.scalars()):
            return None
        self._claim(kind, options, name)
        for index, (route, used) in enumerate(zip(settings.routes, connections, strict=True)):
            self._queues.check(route, used, (*loc, "routes", index))
        if len(routes) < len(settings.routes):  # a task queue is not known
            return None
        return ListenerPlan(
            name=name,
            settings=settings,
            connection=connection,
            retry=retry,
            restart=self._retries.restart,
            kind=kind,
            build=build,
            options=options,
            routes=routes,
        )

    def check_options_of_the_rest(self) -> None:
        """Listeners with an error elsewhere in them are left out; their options can be checked."""
        node = self._loaded.tree.child("listeners")
        names = node.value if node and isinstance(node.value, dict) else {}
        for name in names.keys() - self._settings.listeners.keys():
            source = names[name].child("source")
            if source is None or not isinstance(source.value, str) or source.bad:
                continue
            try:
                kind = self._resolver.catalog.sources.get(source.value)
            except PluginError as error:
                self._loaded.problem(("listeners", name, "source"), str(error))
            else:
                self._resolver.options(kind.options, ("listeners", name, "options"))

    def _routes(
        self, settings: ListenerSettings, connections: list[str], name: str, loc: Loc
    ) -> list[Route]:
        """The routes that are sound."""
        routes = []
        for index, section in enumerate(settings.routes):
            connection = connections[index]
            compiled = compile_route(
                section,
                index,
                listener=name,
                connection=connection,
                task_queue=self._queues.queue_of(section, connection),
            )
            if isinstance(compiled, Route):
                routes.append(compiled)
                continue
            for problem in compiled:
                self._loaded.problem((*loc, "routes", index, *problem.loc), problem.message)
        return routes

    def _check_inbox(self, settings: ListenerSettings, name: str, loc: Loc) -> None:
        if settings.inbox is None:
            return
        file = str(settings.inbox.path.absolute())
        other = self._claims.setdefault(("inbox", file), name)
        if other != name:
            message = f"the listener {other} has that inbox already: give this one another file"
            self._loaded.problem((*loc, "inbox", "path"), message)
        for index, route in enumerate(settings.routes):
            if isinstance(route, UpdateRoute | UpdateWithStartRoute) and route.wait_for_result:
                message = "with an inbox the sender is answered before the workflow runs: remove"
                at = (*loc, "routes", index, "wait_for_result")
                self._loaded.problem(at, f"{message} wait_for_result, or the inbox")

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


def _not_built(*_: object) -> NoReturn:
    raise AssertionError("this listener is not one of those that --only names")
