"""A worker as a component: runs the SDK's Worker, and believes it only when the server sees it.

`Worker.is_running` says nothing about polling: a worker can run for hours without a poller. So
ready means that the server sees this worker's own poller, and one that it no longer sees is built
anew. So is one after an outage: the SDK's polls would come back with delays of up to 10 s, where a
new worker polls at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.plan import WorkerPlan
from temporal_runner.plan.sdk_internals import hash_code
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.workers.pollers import PollerSight
from temporal_runner.runtime.workers.sdk_arguments import worker_arguments
from temporal_runner.values.durations import format_duration

log = logging.getLogger("temporal_runner.workers")

_LOOK_SOON = 0.2
"""Seconds between two looks at the task queue while the worker's poller is not seen yet."""
_LOOK_FIRST = 0.01
"""Half the seconds between the first two; a server knows a poller some milliseconds after."""
_LOOK_LATER = 10.0
"""The same once it was seen."""
_GIVEN_UP_AFTER = 30.0
"""Seconds without a poller, on a connection that works, after which a worker is built anew: the
SDK's own polls come back within 10 s."""
_LAST_OF_RETIRED = 5.0
"""Seconds that workers whose place was taken still get when the runner stops: they have no
activities in hand, or have failed."""
_DEFAULT_ACTIVITIES = 100
"""The SDK's own default of `max_concurrent_activities`."""
_NOT_TOLD = frozenset([RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
"""What a server answers that does not tell of pollers: the connection's health has to do then."""


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
        self._failed_before = False
        self._retired: set[asyncio.Task[None]] = set()
        self._pollers = PollerSight(
            plan.settings.task_queue, self.identity, of_workflows=bool(plan.workflows)
        )

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
            TransientError: The server no longer sees its poller.
            Exception: The worker died; the supervisor runs it anew, with a client of its own.
        """
        # Half a second where Python finds no compiled files: better while the server is not there
        # yet than between its return and the first poll.
        await asyncio.to_thread(hash_code)
        await self.connection.wait_available()
        client = self.connection.client
        if self._failed_before:
            client = await self.connection.new_client()
        self._failed_before = True
        with contextlib.suppress(RPCError):  # the first look meets the same, and tells
            await self._pollers.look(client)
        worker = self._begin(client)
        try:
            while True:
                await self._watch(worker)
                worker, before = self._begin(self.connection.client), worker
                log.info("worker %s: polling with the connection's new client", self.name)
                self._retire(before)
        except asyncio.CancelledError:
            self.ready, self.error = False, "stopping"
            await worker.end()
            if self._retired:
                await asyncio.wait(self._retired, timeout=_LAST_OF_RETIRED)
            raise
        except Exception:
            self.ready = False
            self._retire(worker)  # a worker that failed may fail to end, too: nobody waits for it
            raise

    def _begin(self, client: Client) -> RunningWorker:
        """Build a worker, and let it run."""
        self._pollers.begin()
        return RunningWorker(self._plan, self.identity, client, self.connection.client)

    def _retire(self, worker: RunningWorker) -> None:
        """Let a worker whose place is taken end in its own time."""
        task = asyncio.create_task(worker.end(), name=f"worker {self.name}, retired")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _watch(self, worker: RunningWorker) -> None:
        """Keep `ready` true to the facts; return when another worker should take its place.

        Raises:
            TransientError: The server does not see its poller for too long.
            Exception: The worker died.
        """
        soon, missed_since = _LOOK_FIRST, time.monotonic()
        while True:
            if not self.connection.ready:
                self.ready, self.error = False, "Temporal is not available"
                soon, missed_since = _LOOK_SOON, time.monotonic()
            elif worker.shared is not self.connection.client and not worker.activities:
                # With activities in hand its place is not taken: ending it would cancel them.
                return
            elif not worker.running.done():
                await self._look(worker)
                soon = min(_LOOK_SOON, soon * 2)
                if self.ready:
                    missed_since = time.monotonic()
                elif time.monotonic() - missed_since > _GIVEN_UP_AFTER:
                    gone = format_duration(_GIVEN_UP_AFTER)
                    raise TransientError(f"the server has not seen its poller for {gone}")
            pause = _LOOK_LATER if self.ready else soon
            if await self._ended(worker, pause):
                await worker.running
                raise RuntimeError("the worker ended by itself")

    async def _ended(self, worker: RunningWorker, pause: float) -> bool:
        """Wait that long, but no longer than the worker lives or its connection stays as it is."""
        changed = asyncio.ensure_future(self.connection.wait_changed())
        ends = {worker.running, changed}
        await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        return worker.running.done()

    async def _look(self, worker: RunningWorker) -> None:
        try:
            seen = await self._pollers.look(worker.client) or worker.has_no_room
        except RPCError as error:
            if error.status not in _NOT_TOLD:
                self.connection.suspect()
                self.ready, self.error = False, f"cannot ask for its pollers: {error.message}"
                return
            seen = True
        if seen and not self.ready:
            log.info("worker %s: polling %s", self.name, self._plan.settings.task_queue)
        self.ready = seen
        self.error = "" if seen else "the server does not see its poller yet"


class RunningWorker:
    """One SDK worker at work, until another takes its place.

    Attributes:
        client: What it works with.
        shared: The connection's client when it began; once that is another, so should this be.
        running: Its run.
        activities: How many activities it has in hand.
    """

    def __init__(self, plan: WorkerPlan, identity: str, client: Client, shared: Client) -> None:
        """Build the worker, and let it run.

        Raises:
            PermanentError: The SDK refuses its options, or a workflow as it is.
        """
        self.client = client
        self.shared = shared
        self.activities = 0
        self._plan = plan
        self._executor = _make_executor(plan)
        self._worker = self._build(identity)
        self.running = asyncio.create_task(self._worker.run(), name=f"worker {plan.name}")

    @property
    def has_no_room(self) -> bool:
        """Every place for an activity is taken: it does not poll for more, and is well."""
        if self._plan.workflows:
            return False
        settings = self._plan.settings
        most = 1 if settings.tuner else settings.max_concurrent_activities or _DEFAULT_ACTIVITIES
        return self.activities >= most

    async def end(self) -> None:
        """Take no more tasks, let those in hand finish, and stop.

        A run task that is merely cancelled can keep the process alive; and `shutdown` of a worker
        that failed before it began would never return.
        """
        stopping = asyncio.create_task(self._worker.shutdown())
        await asyncio.wait({stopping, self.running}, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(Exception):
            await self.running
        stopping.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _build(self, identity: str) -> Worker:
        arguments = worker_arguments(self._plan, self._executor)
        arguments["interceptors"] = [_Counting(self), *arguments["interceptors"]]
        try:
            return Worker(self.client, **arguments, identity=identity)
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


class _Counting(Interceptor):
    """Counts the activities that a worker has in hand."""

    def __init__(self, worker: RunningWorker) -> None:
        self._worker = worker

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _CountingInbound(next, self._worker)


class _CountingInbound(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, worker: RunningWorker) -> None:
        super().__init__(inner)
        self._worker = worker

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        self._worker.activities += 1
        try:
            return await super().execute_activity(input)
        finally:
            self._worker.activities -= 1


def _make_executor(plan: WorkerPlan) -> Executor:
    if plan.make_executor is not None:
        return plan.make_executor()
    settings = plan.settings
    threads = settings.activity_executor.max_workers or settings.max_concurrent_activities
    return ThreadPoolExecutor(threads or _DEFAULT_ACTIVITIES, f"activity-{plan.name}")
