"""A worker's section to its plan: classes and functions imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from temporalio.worker import Interceptor, Plugin

from temporal_runner.config.problems import Loc
from temporal_runner.plan import definitions
from temporal_runner.plan.left_out import keys_of, left_out_activities, left_out_workflows
from temporal_runner.plan.records import WorkerPlan
from temporal_runner.plan.resolve import Resolver
from temporal_runner.plan.sdk_internals import activity_type, workflow_type
from temporal_runner.retry.connector import RetryOptions


def plan_worker(resolver: Resolver, restart: RetryOptions, name: str) -> WorkerPlan | None:
    """One worker; None where its definitions are not sound."""
    settings = resolver.settings.workers[name]
    loc: Loc = ("workers", name)
    before = len(resolver.loaded.problems)
    workflows = _definitions(
        resolver,
        "workflow",
        settings.workflows,
        definitions.workflows_of,
        workflow_type,
        (*loc, "workflows"),
    )
    activities = _definitions(
        resolver,
        "activity",
        settings.activities,
        definitions.activities_of,
        activity_type,
        (*loc, "activities"),
    )
    factory = settings.activity_executor.factory
    plan = WorkerPlan(
        name=name,
        settings=settings,
        connection=resolver.connection_name(settings.connection, loc),
        restart=restart,
        workflows=workflows,
        activities=activities,
        interceptors=resolver.extensions(
            settings.interceptors, Interceptor, (*loc, "interceptors")
        ),
        plugins=resolver.extensions(settings.plugins, Plugin, (*loc, "plugins")),
        failure_types=resolver.each(
            settings.workflow_failure_exception_types,
            definitions.exception_of,
            (*loc, "workflow_failure_exception_types"),
        ),
        make_executor=resolver.find(
            factory, definitions.factory_of, (*loc, "activity_executor", "factory")
        )
        if factory
        else None,
        alone=resolver.loaded.of_worker(name) if settings.processes > 1 else None,
    )
    return None if resolver.has_errors_since(before) else plan


def warn_of_left_out(resolver: Resolver, workers: Sequence[WorkerPlan]) -> None:
    """Warn of definitions in a module that its entry does not stand for, and no worker has."""
    if len(workers) < len(resolver.settings.workers):
        return  # one has errors: what it would have is not known
    had = keys_of(item for worker in workers for item in (*worker.workflows, *worker.activities))
    for worker in workers:
        entries = (
            ("workflows", worker.settings.workflows, left_out_workflows),
            ("activities", worker.settings.activities, left_out_activities),
        )
        for key, targets, find in entries:
            for index, target in enumerate(targets):
                for left_out in find(target):
                    if had.isdisjoint(left_out.keys):
                        loc = ("workers", worker.name, key, index)
                        resolver.loaded.problem(loc, left_out.why, severity="warning")


def _definitions(
    resolver: Resolver,
    noun: str,
    targets: Sequence[str],
    find: Callable[[str], Sequence[Any]],
    name_of: Callable[[Any], str | None],
    loc: Loc,
) -> list[Any]:
    found: dict[str, Any] = {}
    first: dict[str, str] = {}
    for index, target in enumerate(targets):
        for item in resolver.find(target, find, (*loc, index)) or ():
            name = name_of(item) or "(dynamic)"
            if name in found:
                again = f" (first by {first[name]})"
                resolver.loaded.problem((*loc, index), f"the {noun} {name!r} is given twice{again}")
            found[name] = item
            first[name] = target
    return list(found.values())
