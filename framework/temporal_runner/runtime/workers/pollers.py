"""Whether the server sees a worker's poller: what `Worker.is_running` does not tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

_TIMEOUT = timedelta(seconds=3)
_FRESH = 90.0
"""Seconds for which a sign of life is proof of it. The server notes a poll's time at its beginning,
and a long poll takes 60 s (measured: up to 70 s between two signs)."""


class PollerSight:
    """Looks for one worker's poller in what the server tells of a task queue.

    A sign of life is that the server's note of the poller changes; how long ago that was is told by
    this machine's steady clock. So neither clock that is set, here or there, nor what an earlier
    worker of the same identity left behind is taken for one.
    """

    def __init__(
        self,
        task_queue: str,
        identity: str,
        *,
        of_workflows: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at nothing yet.

        Args:
            task_queue: The task queue.
            identity: The worker's.
            of_workflows: Look at the pollers for workflow tasks, else at those for activities.
            clock: Seconds, monotonic.
        """
        self._task_queue = task_queue
        self._identity = identity
        self._kind = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
            if of_workflows
            else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        )
        self._clock = clock
        self._noted = 0
        self._changed: float | None = None

    def begin(self) -> None:
        """A new worker begins to poll: what was seen so far was not its own."""
        self._changed = None

    async def look(self, client: Client) -> bool:
        """Whether the poller is there and alive.

        Raises:
            RPCError: The server does not tell.
        """
        noted = await self._last_access(client)
        if not noted:
            return False
        if noted != self._noted:
            self._noted, self._changed = noted, self._clock()
        return self._changed is not None and self._clock() - self._changed < _FRESH

    async def _last_access(self, client: Client) -> int:
        """The last time that the server noted, in its own nanoseconds; 0 where there is none."""
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=self._task_queue),
                task_queue_type=self._kind,
            ),
            timeout=_TIMEOUT,
        )
        times = [
            poller.last_access_time.ToNanoseconds()
            for poller in answer.pollers
            if poller.identity == self._identity
        ]
        return max(times, default=0)
