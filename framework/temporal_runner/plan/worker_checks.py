"""What a worker's start would refuse, or its tasks would meet for ever, seen without a network."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from inspect import isclass
from itertools import combinations
from typing import Any, Literal

from google.protobuf.message import Message
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from temporalio.common import RawValue
from temporalio.worker import WorkflowRunner

from temporal_runner.config.problems import Loc
from temporal_runner.plan.factories import declared_class
from temporal_runner.plan.imports import DefinitionError, import_target, last_line_of_user, telling
from temporal_runner.plan.records import ConnectionPlan, WorkerPlan
from temporal_runner.plan.resolve import Resolver
from temporal_runner.plan.sdk_internals import (
    activity_type,
    has_versioning_behavior,
    is_plain_function,
    prepare_workflow,
    types_of_activity,
    types_of_workflow,
    workflow_type,
)
from temporal_runner.values.durations import format_duration
from temporal_runner.values.wording import one_line

Noun = Literal["workflow", "activity"]
_NOUNS: tuple[Noun, ...] = ("workflow", "activity")
_SIMPLE = (Any, str, int, float, bool, bytes, dict, list, type(None), None, RawValue)


def check_worker(resolver: Resolver, worker: WorkerPlan, connection: ConnectionPlan) -> None:
    """Report what is wrong with one worker."""
    _check_versioning(resolver, worker)
    _check_executor(resolver, worker)
    _check_timeouts(resolver, worker)
    if worker.settings.no_remote_activities and not worker.workflows:
        message = "leaves this worker nothing to do: it has no workflows"
        resolver.loaded.problem(("workers", worker.name, "no_remote_activities"), message)
    if connection.data_converter is None and not connection.plugins:
        _check_types(resolver, worker)


def _check_versioning(resolver: Resolver, worker: WorkerPlan) -> None:
    deployment = worker.settings.deployment
    if deployment is None:
        return
    loc: Loc = ("workers", worker.name, "deployment")
    default = deployment.default_versioning_behavior
    if default and not deployment.use_worker_versioning:
        message = "is for workers that use_worker_versioning: leave one of the two out"
        resolver.loaded.problem((*loc, "default_versioning_behavior"), message)
    elif deployment.use_worker_versioning and default is None:
        without = [one.__name__ for one in worker.workflows if not has_versioning_behavior(one)]
        if without:
            message = (
                f"set default_versioning_behavior, or versioning_behavior in @workflow.defn:"
                f" {', '.join(without)} say nothing of it"
            )
            resolver.loaded.problem(loc, message)


def _check_executor(resolver: Resolver, worker: WorkerPlan) -> None:
    """The SDK runs plain functions in other processes only with more than a file can give."""
    made = declared_class(worker.make_executor) if worker.make_executor else None
    if made is None or not issubclass(made, Executor) or made is Executor:
        return
    plain = [activity_type(item) for item in worker.activities if is_plain_function(item)]
    if plain and not issubclass(made, ThreadPoolExecutor):
        message = (
            f"makes a {made.__name__}, and the SDK runs plain functions"
            f" ({', '.join(map(str, plain))}) in a ThreadPoolExecutor alone, without more than a"
            " file can give: run the worker in processes of its own (processes: 2)"
        )
        loc = ("workers", worker.name, "activity_executor", "factory")
        resolver.loaded.problem(loc, message)


def _check_timeouts(resolver: Resolver, worker: WorkerPlan) -> None:
    graceful, whole = (
        worker.settings.graceful_shutdown_timeout,
        resolver.settings.shutdown_timeout,
    )
    if graceful > whole and worker.activities:
        message = (
            f"graceful_shutdown_timeout is {format_duration(graceful.total_seconds())}, and"
            f" shutdown_timeout {format_duration(whole.total_seconds())}: the runner ends while"
            " activities still may go on, and none is told that it is cancelled"
        )
        loc = ("workers", worker.name, "graceful_shutdown_timeout")
        resolver.loaded.problem(loc, message, severity="warning")


def _check_types(resolver: Resolver, worker: WorkerPlan) -> None:
    """Report types that the pydantic converter cannot read: each task would fail for ever."""
    definitions: list[tuple[str, str | None, list[Any]]] = []
    for workflow in worker.workflows:
        definitions.append(("workflows", workflow_type(workflow), types_of_workflow(workflow)))
    for activity in worker.activities:
        definitions.append(("activities", activity_type(activity), types_of_activity(activity)))
    for key, name, types in definitions:
        # The one for any type takes the SDK's raw values.
        for hint in types if name else ():
            if hint not in _SIMPLE and (found := _unreadable(hint)):
                why, severity = found
                loc = ("workers", worker.name, key)
                resolver.loaded.problem(loc, f"{name}: {why}", severity=severity)


def _unreadable(hint: Any) -> tuple[str, str] | None:
    """Why pydantic does not read a type, and how sure it is that no converter does."""
    shown = hint.__name__ if isclass(hint) else hint
    try:
        TypeAdapter(hint)
    except PydanticUserError as error:
        if error.code == "typed-dict-version":
            why = "before Python 3.12 pydantic reads no TypedDict of typing: import it from"
            return f"{shown}: {why} typing_extensions", "error"
        if error.code == "schema-for-unknown-type" and not _is_protobuf(hint):
            return f"{shown} is a type that pydantic cannot read: its tasks will fail", "warning"
    except Exception:  # the user's own code: a model's hooks
        return None
    return None


def _is_protobuf(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Message)


def check_together(
    resolver: Resolver, workers: Sequence[WorkerPlan], only: Collection[str]
) -> None:
    """Report workers of one task queue of which the start allows one, or that lack types.

    Args:
        resolver: Where problems go.
        workers: All that are sound.
        only: Those that run; all where it is empty.
    """
    for one, other in combinations(workers, 2):
        same = one.settings.task_queue == other.settings.task_queue
        if same and _where(resolver, one) == _where(resolver, other):
            _check_pair(resolver, one, other, only)


def _check_pair(
    resolver: Resolver, one: WorkerPlan, other: WorkerPlan, only: Collection[str]
) -> None:
    loc: Loc = ("workers", other.name, "task_queue")
    shared = [noun for noun in _NOUNS if _types(one, noun) and _types(other, noun)]
    together = not only or {one.name, other.name} <= set(only)
    one_process = one.alone is None and other.alone is None
    same_client = one.connection == other.connection
    if shared and together and one_process and same_client and _build(one) == _build(other):
        nouns = " and ".join("workflows" if noun == "workflow" else "activities" for noun in shared)
        message = (
            f"the worker {one.name} has {nouns} on this task queue, too, and the SDK refuses a"
            " second in one process: make them one worker, or give one another task queue"
        )
        resolver.loaded.problem(loc, message)
        return
    if _build(one) != _build(other):
        return  # the server tells them apart
    for noun in shared:
        for has, lacks in ((one, other), (other, one)):
            missing = sorted(_types(has, noun) - _types(lacks, noun))
            if missing and "" not in _types(lacks, noun):
                message = (
                    f"the worker {lacks.name} takes tasks of this queue, too, and has not the"
                    f" {noun} {', '.join(missing)} of {has.name}: give both the same"
                )
                place = ("workers", lacks.name, "task_queue")
                resolver.loaded.problem(place, message, severity="warning")


def _types(worker: WorkerPlan, noun: Noun) -> set[str]:
    """The types that tasks of a queue are of; an empty one stands for any."""
    if noun == "workflow":
        return {workflow_type(item) or "" for item in worker.workflows}
    if worker.settings.no_remote_activities:
        return set()
    return {activity_type(item) or "" for item in worker.activities}


def _build(worker: WorkerPlan) -> tuple[str, str] | None:
    deployment = worker.settings.deployment
    return (deployment.name, deployment.build_id) if deployment else None


def _where(resolver: Resolver, worker: WorkerPlan) -> tuple[object, ...]:
    """The namespace that a worker works for, as far as the config tells."""
    temporal = resolver.settings.temporal
    own = resolver.settings.connections.get(worker.connection, temporal)
    cluster = own if own.address is not None or own.profile is not None else temporal
    namespace = own.namespace if own.namespace is not None else cluster.namespace
    return cluster.address, cluster.profile, namespace


def check_prepared(
    resolver: Resolver, worker: WorkerPlan, connection: ConnectionPlan, runner: WorkflowRunner
) -> None:
    """Report workflows that the sandbox cannot load. A plugin of the SDK's may change that."""
    if worker.plugins or connection.plugins:
        return
    of_entry = dict(_entries(worker))
    for workflow in worker.workflows:
        try:
            with telling(f"loading {workflow.__name__} in the sandbox"):
                prepare_workflow(workflow, runner)
        # The workflow's module is loaded anew: whatever it raises is the user's to mend.
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {one_line(error)}{last_line_of_user(error)}"
            message = (
                f"{workflow.__name__} does not load in the sandbox: {why}; keep imports of I/O"
                " libraries out of workflow modules, or name them in passthrough_modules"
            )
            index = of_entry.get(id(workflow), 0)
            resolver.loaded.problem(("workers", worker.name, "workflows", index), message)


def _entries(worker: WorkerPlan) -> Iterator[tuple[int, int]]:
    """Which entry of `workflows` each class comes from."""
    for index, target in enumerate(worker.settings.workflows):
        try:
            found = import_target(target)
        except DefinitionError:  # pragma: no cover - it was imported before
            continue
        for item in vars(found).values() if ":" not in target else (found,):
            yield id(item), index
