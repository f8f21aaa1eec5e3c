"""A worker as a component: runs the SDK's Worker, and believes it only when the server sees it.

`Worker.is_running` says nothing about polling: a worker can run for hours without a poller. So
ready means that the server lists this worker's own identity among the task queue's pollers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import (
    PollerBehavior,
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    ResourceBasedSlotConfig,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkerTuner,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from temporal_runner.config.workers import (
    PollerSettings,
    SlotSettings,
    TunerSettings,
    WorkerSettings,
)
from temporal_runner.errors import PermanentError
from temporal_runner.plan import WorkerPlan
from temporal_runner.runtime.temporal import TemporalConnection

log = logging.getLogger("temporal_runner.workers")

_LOOK_SOON = 0.2
"""Seconds between two looks at the task queue while the worker's poller is not seen yet."""
_LOOK_FIRST = 0.01
"""Half the seconds between the first two; a server knows a poller some milliseconds after."""
_LOOK_LATER = 10.0
"""The same once it was seen."""
_POLLER_AGE = 90.0
"""Seconds after which a poller that the server last heard of is no proof: a long poll takes 60 s
and the server notes its time at the beginning (measured: up to 70 s)."""
_DEFAULT_ACTIVITIES = 100
"""The SDK's own default of `max_concurrent_activities`."""

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


class WorkerComponent:
    """One worker of the plan.

    Attributes:
        name: Its name in the config.
        ready: The server sees its poller.
        error: Why it is not ready; empty while it is.
        connection: The connection that its client comes from.
    """

    noun = "worker"

    def __init__(self, plan: WorkerPlan, connection: TemporalConnection) -> None:
        self.name = plan.name
        self.restart = plan.restart
        self.ready = False
        self.error = "not started yet"
        self.identity = (
            plan.settings.identity or f"{os.getpid()}@{socket.gethostname()}/{plan.name}"
        )
        self._plan = plan
        self.connection = connection
        self._runs = 0

    def describe(self) -> str:
        """What it works on, for the start-up message."""
        queue = self._plan.settings.task_queue
        return (
            f"task queue {queue}, {len(self._plan.workflows)} workflows,"
            f" {len(self._plan.activities)} activities"
        )

    async def run(self) -> None:
        """Work until cancelled; then take no more tasks and let those in hand finish.

        Raises:
            PermanentError: The SDK refuses its options, or a workflow as it is.
            Exception: The worker died; the supervisor runs it anew, with a client of its own.
        """
        await asyncio.to_thread(_hash_code)
        await self.connection.wait_available()
        client = await self.connection.new_client() if self._runs else self.connection.client
        self._runs += 1
        executor = self._make_executor()
        worker = self._build(client, executor)
        running = asyncio.create_task(worker.run(), name=f"worker {self.name}")
        try:
            await self._watch(client, running)
        except asyncio.CancelledError:
            self.error = "stopping"
            raise
        finally:
            self.ready = False
            await _shut_down(worker, running)
            executor.shutdown(wait=False, cancel_futures=True)

    def _build(self, client: Client, executor: Executor) -> Worker:
        arguments = worker_arguments(self._plan, executor)
        try:
            return Worker(client, **arguments, identity=self.identity)
        except (RuntimeError, ValueError, TypeError) as error:
            cause = error.__cause__ or error
            next_step = ""
            if "Failed validating workflow" in str(error):
                next_step = (
                    "keep imports of I/O libraries out of workflow modules, or name them in"
                    " passthrough_modules"
                )
            raise PermanentError(
                f"{error}: {cause}" if cause is not error else str(error), next_step=next_step
            ) from error

    def _make_executor(self) -> Executor:
        if self._plan.make_executor is not None:
            return self._plan.make_executor()
        settings = self._plan.settings
        threads = settings.activity_executor.max_workers or settings.max_concurrent_activities
        return ThreadPoolExecutor(threads or _DEFAULT_ACTIVITIES, f"activity-{self.name}")

    async def _watch(self, client: Client, running: asyncio.Task[None]) -> None:
        """Keep `ready` true to the facts until the worker ends."""
        soon = _LOOK_FIRST
        while True:
            if not self.connection.ready:
                self.ready, self.error = False, "Temporal is not available"
                soon = _LOOK_SOON
            elif not running.done():
                await self._look(client)
                soon = min(_LOOK_SOON, soon * 2)
            pause = _LOOK_LATER if self.ready else soon
            if await self._ended(running, pause):
                await running
                raise RuntimeError("the worker ended by itself")

    async def _ended(self, running: asyncio.Task[None], pause: float) -> bool:
        """Wait that long, but no longer than the worker or the connection lives."""
        until = time.monotonic() + pause
        while not running.done() and time.monotonic() < until:
            await asyncio.wait({running}, timeout=min(_LOOK_SOON, pause))
            if self.ready and not self.connection.ready:
                break
        return running.done()

    async def _look(self, client: Client) -> None:
        try:
            seen = await self._is_seen(client)
        except RPCError as error:
            if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED}:
                seen = True  # the server does not tell: the connection's health has to do
            else:
                self.connection.suspect()
                self.ready, self.error = False, f"cannot ask for its pollers: {error.message}"
                return
        if seen and not self.ready:
            log.info("worker %s: polling %s", self.name, self._plan.settings.task_queue)
        self.ready = seen
        self.error = "" if seen else "the server does not see its poller yet"

    async def _is_seen(self, client: Client) -> bool:
        kind = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
            if self._plan.workflows
            else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        )
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=self._plan.settings.task_queue),
                task_queue_type=kind,
            ),
            timeout=timedelta(seconds=3),
        )
        oldest = time.time() - _POLLER_AGE
        return any(
            poller.identity == self.identity and poller.last_access_time.seconds >= oldest
            for poller in answer.pollers
        )


def _hash_code() -> None:
    """Let the SDK hash all code that is loaded, which is a worker's build ID where none is set.

    It takes half a second where Python finds no compiled files, and is remembered: better while
    the server is not there yet than between its return and the first poll.
    """
    with contextlib.suppress(ImportError):
        from temporalio.worker._worker import load_default_build_id

        load_default_build_id()


async def _shut_down(worker: Worker, running: asyncio.Task[None]) -> None:
    """Stop a worker, whatever state it is in.

    A run task that is merely cancelled can keep the process alive; and `shutdown` of a worker that
    failed before it began would never return.
    """
    stopping = asyncio.create_task(worker.shutdown())
    await asyncio.wait({stopping, running}, return_when=asyncio.FIRST_COMPLETED)
    with contextlib.suppress(Exception):
        await running
    stopping.cancel()


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
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        *settings.passthrough_modules
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


def _poller_behavior(settings: PollerSettings) -> PollerBehavior:
    if settings.type == "simple_maximum":
        return PollerBehaviorSimpleMaximum(settings.maximum or 5)
    return PollerBehaviorAutoscaling(settings.minimum, settings.maximum or 100, settings.initial)


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
