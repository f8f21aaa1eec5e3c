"""A worker's section of the config as the arguments of the SDK's `Worker`."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    PollerBehavior,
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    ResourceBasedSlotConfig,
    WorkerDeploymentConfig,
    WorkerTuner,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxRestrictions

from temporal_runner.config.workers import (
    PollerSettings,
    SlotSettings,
    TunerSettings,
    WorkerSettings,
)
from temporal_runner.plan import WorkerPlan
from temporal_runner.runtime.workers.watched_workflows import WatchedRunner, WatchedSandboxRunner

_SAME_NAME = (
    "max_concurrent_workflow_tasks",
    "max_concurrent_activities",
    "max_concurrent_local_activities",
    "nonsticky_to_sticky_poll_ratio",
    "max_cached_workflows",
    "sticky_queue_schedule_to_start_timeout",
    "max_activities_per_second",
    "max_task_queue_activities_per_second",
    "no_remote_activities",
    "disable_eager_activity_execution",
    "max_heartbeat_throttle_interval",
    "default_heartbeat_throttle_interval",
    "graceful_shutdown_timeout",
    "debug_mode",
)
"""Options that are the SDK's own, by the same name; left out they are the SDK's defaults."""


def worker_arguments(plan: WorkerPlan, executor: Executor) -> dict[str, Any]:
    """A worker's section as arguments of the SDK's `Worker`."""
    settings = plan.settings
    arguments: dict[str, Any] = {
        "task_queue": settings.task_queue,
        "workflows": plan.workflows,
        "activities": plan.activities,
        "activity_executor": executor,
        "interceptors": plan.interceptors,
        "plugins": plan.plugins,
        "workflow_runner": workflow_runner(settings),
        "unsandboxed_workflow_runner": WatchedRunner(),
        "workflow_failure_exception_types": plan.failure_types,
    }
    for name in _SAME_NAME:
        value = getattr(settings, name)
        if value is not None:
            arguments[name] = value
    for name in ("workflow_task_poller_behavior", "activity_task_poller_behavior"):
        pollers = getattr(settings, name)
        if pollers is not None:
            arguments[name] = _poller_behavior(pollers)
    if settings.tuner is not None:
        arguments["tuner"] = _tuner(settings.tuner)
    if settings.deployment is not None:
        deployment = settings.deployment
        behavior = (deployment.default_versioning_behavior or "unspecified").upper()
        arguments["deployment_config"] = WorkerDeploymentConfig(
            WorkerDeploymentVersion(deployment.name, deployment.build_id),
            deployment.use_worker_versioning,
            VersioningBehavior[behavior],
        )
    return arguments


def workflow_runner(settings: WorkerSettings) -> WorkflowRunner:
    """Where a worker's workflows run: the sandbox, unless the config turns it off."""
    if not settings.sandbox:
        return WatchedRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        *settings.passthrough_modules
    )
    return WatchedSandboxRunner(restrictions=restrictions)


def _poller_behavior(settings: PollerSettings) -> PollerBehavior:
    if settings.type == "simple_maximum":
        return PollerBehaviorSimpleMaximum(settings.most)
    initial = settings.initial or min(max(5, settings.minimum), settings.most)
    return PollerBehaviorAutoscaling(settings.minimum, settings.most, initial)


def _tuner(settings: TunerSettings) -> WorkerTuner:
    def slots(section: SlotSettings | None) -> ResourceBasedSlotConfig | None:
        return None if section is None else ResourceBasedSlotConfig(**section.model_dump())

    return WorkerTuner.create_resource_based(
        target_memory_usage=settings.target_memory_usage,
        target_cpu_usage=settings.target_cpu_usage,
        workflow_config=slots(settings.workflow),
        activity_config=slots(settings.activity),
        local_activity_config=slots(settings.local_activity),
    )
