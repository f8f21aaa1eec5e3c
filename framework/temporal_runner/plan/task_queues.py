"""What routes and workers say of one another: task queues, and the types that they serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from temporal_runner.config.load import LoadedConfig
from temporal_runner.config.problems import Loc
from temporal_runner.config.routes import (
    RouteSection,
    SignalRoute,
    StartActivityRoute,
    StartedIfAbsent,
    StartRoute,
    UpdateRoute,
)
from temporal_runner.plan.records import WorkerPlan
from temporal_runner.plan.sdk_internals import activity_type, workflow_type
from temporal_runner.values.wording import suggest


@dataclass(frozen=True, slots=True)
class _Started:
    """What a route starts: its type, the key that names it, and the queue that the route gives."""

    noun: Literal["workflow", "activity"]
    name: str
    key: str
    task_queue: str | None


class TaskQueues:
    """The task queues of a config's workers."""

    def __init__(self, loaded: LoadedConfig, workers: Sequence[WorkerPlan]) -> None:
        """Look at no route yet.

        Args:
            loaded: The config; what is wrong is added to its problems.
            workers: Its workers, less those with an error in them.
        """
        self._loaded = loaded
        section = loaded.tree.child("workers")
        named = section.value if section and isinstance(section.value, dict) else {}
        # With a worker left out for an error of its own, nothing can be said of what is served.
        self._complete = len(workers) == len(named)
        self._workers: dict[tuple[str, str], list[WorkerPlan]] = {}
        self._queues_of: dict[tuple[str, str], set[str]] = {}
        for worker in workers:
            queue = worker.settings.task_queue
            self._workers.setdefault((worker.connection, queue), []).append(worker)
            for workflow in _types(worker, "workflow"):
                self._queues_of.setdefault((worker.connection, workflow), set()).add(queue)

    def queue_of(self, route: RouteSection, connection: str) -> str | None:
        """Where what a route starts is to run.

        Returns:
            The queue that it gives, else that of the one worker which has its workflow; empty where
            it starts nothing. None where no queue, or more than one, would do.
        """
        started = _started(route)
        if started is None:
            return ""
        if started.task_queue:
            return started.task_queue
        queues = self._queues_of.get((connection, started.name), set())
        return next(iter(queues)) if len(queues) == 1 else None

    def check(self, route: RouteSection, connection: str, loc: Loc) -> None:
        """Report a route whose queue is not known; warn of queues and types that nobody serves."""
        started = _started(route)
        if started is None or not self._complete:
            return
        if started.task_queue:
            self._check_served(started, started.task_queue, connection, loc)
            return
        queues = self._queues_of.get((connection, started.name), set())
        if len(queues) != 1:
            why = "more than one worker" if queues else "no worker"
            message = f"give a task_queue: {why} of this file has the workflow {started.name!r}"
            self._loaded.problem(loc, message)

    def _check_served(self, started: _Started, queue: str, connection: str, loc: Loc) -> None:
        workers = self._workers.get((connection, queue), ())
        if not workers:
            hint = suggest(queue, (known for at, known in self._workers if at == connection))
            message = f"no worker of this file serves the task queue {queue!r}{hint}"
            self._loaded.problem((*loc, "task_queue"), message, severity="warning")
            return
        types = [known for worker in workers for known in _types(worker, started.noun)]
        if "" in types or started.name in types:
            return
        hint = suggest(started.name, types)
        what = f"the {started.noun} {started.name!r}"
        message = f"no worker of the task queue {queue!r} has {what}{hint}"
        self._loaded.problem((*loc, started.key), message, severity="warning")


def _started(route: RouteSection) -> _Started | None:
    match route:
        case StartRoute():
            return _Started("workflow", route.start, "start", route.task_queue)
        case StartedIfAbsent():
            return _Started("workflow", route.workflow, "workflow", route.task_queue)
        case StartActivityRoute():
            return _Started("activity", route.start_activity, "start_activity", route.task_queue)
        case SignalRoute() | UpdateRoute():
            return None


def _types(worker: WorkerPlan, noun: Literal["workflow", "activity"]) -> list[str]:
    """The types that a worker has; an empty one stands for any."""
    if noun == "workflow":
        return [workflow_type(item) or "" for item in worker.workflows]
    return [activity_type(item) or "" for item in worker.activities]
