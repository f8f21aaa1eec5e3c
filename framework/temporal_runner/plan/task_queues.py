"""What routes and workers say of one another: task queues, and the types that they serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from temporal_runner.config.load import LoadedConfig
from temporal_runner.plan import definitions
from temporal_runner.plan.records import ListenerPlan, WorkerPlan
from temporal_runner.routing.routes import Route

Loc = tuple[int | str, ...]


def check_task_queues(
    loaded: LoadedConfig, workers: Sequence[WorkerPlan], listeners: Sequence[ListenerPlan]
) -> None:
    """Find the queue of routes that name none; warn of queues and types that nobody serves."""
    served: dict[tuple[str, str], list[WorkerPlan]] = {}
    for worker in workers:
        served.setdefault((worker.connection, worker.settings.task_queue), []).append(worker)
    section = loaded.tree.child("workers")
    named = section.value if section and isinstance(section.value, dict) else {}
    # With a worker left out for an error of its own, nothing can be said of what is served.
    complete = len(workers) == len(named)
    for listener in listeners:
        for index, route in enumerate(listener.routes):
            loc: Loc = ("listeners", listener.name, "routes", index)
            if route.workflow and not route.task_queue:
                route.task_queue = _queue_of(loaded, route, workers, loc) if complete else "?"
            elif route.task_queue and complete:
                _check_served(loaded, route, served, loc)


def _queue_of(loaded: LoadedConfig, route: Route, workers: Sequence[WorkerPlan], loc: Loc) -> str:
    queues = {
        worker.settings.task_queue
        for worker in workers
        if worker.connection == route.connection and route.workflow in _workflow_types(worker)
    }
    if len(queues) == 1:
        return queues.pop()
    why = "more than one worker" if queues else "no worker"
    loaded.problem(
        loc, f"give a task_queue: {why} of this file has the workflow {route.workflow!r}"
    )
    return ""


def _check_served(
    loaded: LoadedConfig,
    route: Route,
    served: Mapping[tuple[str, str], Sequence[WorkerPlan]],
    loc: Loc,
) -> None:
    workers = served.get((route.connection, route.task_queue), ())
    if not workers:
        queues = [queue for connection, queue in served if connection == route.connection]
        near = get_close_matches(route.task_queue, queues, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        message = f"no worker of this file serves the task queue {route.task_queue!r}{hint}"
        loaded.problem((*loc, "task_queue"), message, severity="warning")
        return
    if route.workflow:
        noun, name, types_of = "workflow", route.workflow, _workflow_types
        key = "start" if route.kind == "start" else "workflow"
    else:
        noun, name, types_of = "activity", route.name, _activity_types
        key = "start_activity"
    types = [known for worker in workers for known in types_of(worker)]
    if "" not in types and name not in types:
        near = get_close_matches(name, types, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        queue = route.task_queue
        message = f"no worker of the task queue {queue!r} has the {noun} {name!r}{hint}"
        loaded.problem((*loc, key), message, severity="warning")


def _activity_types(worker: WorkerPlan) -> list[str]:
    return [definitions.activity_type(item) or "" for item in worker.activities]


def _workflow_types(worker: WorkerPlan) -> list[str]:
    return [definitions.workflow_type(item) or "" for item in worker.workflows]
