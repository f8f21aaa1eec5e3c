"""A worker's section: the options of the SDK's `Worker` that make sense in a file."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from temporal_runner.config.fields import ModuleOrTarget, Section, Target
from temporal_runner.values.durations import Duration, PositiveDuration
from temporal_runner.values.texts import Text

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


class PollerSettings(Section):
    """How many polls are open at a time."""

    type: Literal["simple_maximum", "autoscaling"] = "autoscaling"
    """A fixed number, or as many as the server's answers suggest."""
    minimum: Count = 1
    """autoscaling: the fewest."""
    initial: Count | None = None
    """autoscaling: the number at the start; by default 5, where the other two allow it."""
    maximum: Count | None = None
    """The most; by default 100 for autoscaling and 5 for simple_maximum."""

    @property
    def most(self) -> int:
        """The maximum, written or not."""
        return self.maximum or (100 if self.type == "autoscaling" else 5)

    @model_validator(mode="after")
    def _in_order(self) -> PollerSettings:
        if self.type == "autoscaling":
            if self.minimum > self.most:
                raise ValueError(f"minimum ({self.minimum}) is above maximum ({self.most})")
            if self.initial is not None and not self.minimum <= self.initial <= self.most:
                between = f"minimum ({self.minimum}) and maximum ({self.most})"
                raise ValueError(f"initial ({self.initial}) is not between {between}")
        return self


class SlotSettings(Section):
    """The slots of a resource-based tuner for one kind of task."""

    minimum_slots: Annotated[int, Field(ge=0)] | None = None
    """Slots given out whatever the load."""
    maximum_slots: Count | None = None
    """No more than these."""
    ramp_throttle: Duration | None = None
    """The least time between two new slots."""


class TunerSettings(Section):
    """Slots by the machine's load instead of fixed numbers."""

    target_memory_usage: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The share of memory up to which slots are given out."""
    target_cpu_usage: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The share of the processors up to which slots are given out."""
    workflow: SlotSettings | None = None
    """Workflow tasks."""
    activity: SlotSettings | None = None
    """Activities."""
    local_activity: SlotSettings | None = None
    """Local activities."""


class DeploymentSettings(Section):
    """Worker Versioning: which deployment and build this worker is."""

    name: Text
    """The deployment's name."""
    build_id: Text
    """This build, such as a Git commit."""
    use_worker_versioning: bool = True
    """Take only tasks that are routed to this version."""
    default_versioning_behavior: Literal["pinned", "auto_upgrade"] | None = None
    """For workflows that do not say it themselves."""


class ExecutorSettings(Section):
    """Where activities that are plain functions (not async) run."""

    max_workers: Count | None = None
    """Threads; by default as many as `max_concurrent_activities`."""
    factory: Target | None = None
    """A function that returns a `concurrent.futures.Executor` to use instead of threads. For plain
    functions it is a ThreadPoolExecutor; what it makes is checked where its return annotation says
    it."""


class WorkerSettings(Section):
    """A Temporal Worker: one task queue, with its workflows and activities."""

    task_queue: Text
    """The task queue."""
    workflows: tuple[ModuleOrTarget, ...] = ()
    """Workflow classes, "module:Class", or a module: every @workflow.defn in it."""
    activities: tuple[ModuleOrTarget, ...] = ()
    """Activities, "module:function", or a module: every @activity.defn in it. A class,
    or a function that says by its return annotation that it makes an object of one, gives that
    object's activity methods. Nothing else is called."""
    connection: Text | None = None
    """One of `connections`; by default `temporal`."""
    identity: Text | None = None
    """Who the worker says it is; by default process@host/name. With `processes` the number of each
    is added."""
    processes: Count = 1
    """Run the worker so many times, each in a process of its own, for Python code that is the
    limit; 1 is in the runner's own. All options below hold for each of them."""

    max_concurrent_workflow_tasks: Count | None = None
    """Workflow tasks at a time (the SDK: 100)."""
    max_concurrent_activities: Count | None = None
    """Activities at a time (the SDK: 100)."""
    max_concurrent_local_activities: Count | None = None
    """Local activities at a time (the SDK: 100)."""
    tuner: TunerSettings | None = None
    """Slots by the machine's load, instead of the three options above."""
    workflow_task_poller_behavior: PollerSettings | None = None
    """Polls for workflow tasks."""
    activity_task_poller_behavior: PollerSettings | None = None
    """Polls for activities."""
    nonsticky_to_sticky_poll_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of polls that take work of no worker's cache (the SDK: 0.2)."""
    max_cached_workflows: Annotated[int, Field(ge=0)] | None = None
    """Workflows kept in memory between tasks (the SDK: 1000)."""
    sticky_queue_schedule_to_start_timeout: PositiveDuration | None = None
    """How long a cached workflow's task waits for this worker (the SDK: 10s)."""
    max_activities_per_second: Rate | None = None
    """Rate limit of this worker."""
    max_task_queue_activities_per_second: Rate | None = None
    """Rate limit of the whole task queue, kept by the server."""
    no_remote_activities: bool = False
    """Run only local activities."""
    disable_eager_activity_execution: bool = False
    """Never hand an activity straight to the worker that scheduled it."""
    max_heartbeat_throttle_interval: PositiveDuration | None = None
    """The longest time between two heartbeats that are sent (the SDK: 60s)."""
    default_heartbeat_throttle_interval: PositiveDuration | None = None
    """The same where an activity has no heartbeat time-out (the SDK: 30s)."""
    graceful_shutdown_timeout: Duration = timedelta(seconds=30)
    """How long activities may go on after the stop signal before they are cancelled."""

    deployment: DeploymentSettings | None = None
    """Worker Versioning."""
    sandbox: bool = True
    """Run workflows in the SDK's sandbox."""
    passthrough_modules: tuple[Text, ...] = ()
    """Modules that the sandbox does not load anew for each workflow."""
    interceptors: tuple[Target, ...] = ()
    """Worker interceptors, or classes or functions without arguments that make them."""
    plugins: tuple[Target, ...] = ()
    """The SDK's own worker plugins, or functions that return them."""
    activity_executor: ExecutorSettings = ExecutorSettings()
    """Where activities that are plain functions run."""
    workflow_failure_exception_types: tuple[Target, ...] = ()
    """Exceptions that fail a workflow instead of its task."""
    debug_mode: bool = False
    """Turn the SDK's deadlock detection off, for a debugger."""

    @model_validator(mode="after")
    def _consistent(self) -> WorkerSettings:
        if not self.workflows and not self.activities:
            raise ValueError("a worker has workflows, activities or both")
        if self.tuner and (
            self.max_concurrent_workflow_tasks
            or self.max_concurrent_activities
            or self.max_concurrent_local_activities
        ):
            raise ValueError("give tuner or the max_concurrent options, not both")
        if self.workflows and self.max_cached_workflows != 0:
            self._check_cache()
        return self

    def _check_cache(self) -> None:
        """With a cache there are two queues to poll: with one poll or slot one of them starves."""
        either = "is at least 2, unless max_cached_workflows is 0"
        if self.max_concurrent_workflow_tasks == 1:
            raise ValueError(f"max_concurrent_workflow_tasks {either}")
        pollers = self.workflow_task_poller_behavior
        if pollers is not None and pollers.type == "simple_maximum" and pollers.most == 1:
            raise ValueError(f"workflow_task_poller_behavior's maximum {either}")
