"""The leases of a queue's messages, from receive to delete: N records are N parts of one lease.

A message is deleted when all its records are settled. Until then its visibility timeout is
extended; where a record failed it goes back, and its finished records are remembered. A message
that is received again while it is leased only renews its receipt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from typing import Any

from temporal_runner.plugin import NotKept, PermanentError, SourceContext, TransientError
from temporal_runner_s3.batching import Batching
from temporal_runner_s3.client import Queue, QueueMessage
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.dead_letters import DeadLetters
from temporal_runner_s3.events import in_sequence
from temporal_runner_s3.fifo_groups import FifoGroups
from temporal_runner_s3.lease import Lease, Part
from temporal_runner_s3.messages import read_message
from temporal_runner_s3.visibility import Visibility

_LONGEST_BACKOFF = 900.0
"""Seconds for which a message that failed is hidden at most."""
_REMEMBERED = 10_000
"""Messages whose finished records are remembered."""


def _in_sequence(parts: Sequence[Part]) -> list[Part]:
    """What cannot be read, then what can, the events of one object in the order they happened."""
    readable = [part for part in parts if part.record.event]
    order = in_sequence([part.record.event for part in readable if part.record.event])
    unreadable = [part for part in parts if not part.record.event]
    return unreadable + [readable[index] for index in order]


class Leases:
    """The leases of one queue's messages.

    Attributes:
        changed: Set when there is something to `take_ready`, or room for more messages.
        keeps_rejected: Rejected records go to a dead letter queue, ours or the queue's own.
    """

    def __init__(
        self,
        queue: Queue,
        options: S3Options,
        context: SourceContext,
        visibility: int,
        *,
        has_redrive_policy: bool,
    ) -> None:
        """Begin empty.

        Args:
            queue: The queue, open.
            options: The listener's.
            context: The listener.
            visibility: Seconds that the visibility timeout is extended to.
            has_redrive_policy: SQS itself moves what was received too often to a dead letter queue.
        """
        self._queue = queue
        self._options = options
        self._context = context
        self._log = context.log
        self._timeout = visibility
        self._leases: dict[str, Lease] = {}
        self._finished: OrderedDict[str, set[int]] = OrderedDict()
        self._groups: FifoGroups[Part] = FifoGroups()
        self._ready: deque[Part] = deque()
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False
        self._deletes = Batching(queue.delete)
        self._visibility = Visibility(queue, self._leases, visibility, context.log)
        url = options.dead_letter_queue_url
        self._dead_letters = DeadLetters(queue, url, context.listener) if url else None
        self.keeps_rejected = self._dead_letters is not None or has_redrive_policy
        self.changed = asyncio.Event()

    @property
    def empty(self) -> bool:
        """No message is leased."""
        return not self._leases

    @property
    def room(self) -> int:
        """How many more messages may be leased; as many as the listener takes deliveries."""
        return self._context.max_in_flight - len(self._leases)

    # What was received.

    def take(self, messages: Sequence[QueueMessage]) -> None:
        """Lease received messages, and make ready what can be delivered of them."""
        parts: list[Part] = []
        for message in messages:
            if known := self._leases.get(message.id):
                # It was hidden too short, or sent twice: it is under way already.
                known.message, known.since = message, time.monotonic()
            else:
                parts += self._lease(message)
        for part in parts if self._queue.fifo else _in_sequence(parts):
            if self._groups.admit(part):
                self._begin(part)

    def _lease(self, message: QueueMessage) -> list[Part]:
        records = read_message(message.body)
        finished = self._finished.get(message.id, set())
        unsettled = set(range(len(records))) - finished
        lease = Lease(message, time.monotonic(), unsettled, set(finished))
        self._leases[message.id] = lease
        if not unsettled:
            self._in_background(self._end(lease))
        return [Part(lease, index, records[index]) for index in sorted(unsettled)]

    def _begin(self, part: Part) -> None:
        if self._closed:
            self._in_background(self.settle(part, self._at_once(part)))
        elif part.record.event is None:
            self._unreadable(part)
        else:
            self._make_ready(part)

    def take_ready(self) -> list[Part]:
        """What is to be handed to the listener now."""
        ready = list(self._ready)
        self._ready.clear()
        self.changed.clear()
        return ready

    def _make_ready(self, part: Part) -> None:
        self._ready.append(part)
        self.changed.set()

    def _unreadable(self, part: Part) -> None:
        """Back off by the receive count, in case a newer runner can read it; then give it up."""
        message, problem = part.lease.message, part.record.problem
        if message.receives >= self._options.max_receives:
            self._make_ready(part)
            return
        self._log.warning("message %s cannot be read: %s", message.id, problem)
        self._in_background(self.settle(part, self.backoff(part)))

    # Settling.

    def backoff(self, part: Part) -> float:
        """Seconds for which a message that failed is hidden: twice as long at each receive."""
        times = min(part.lease.message.receives - 1, 20)
        delay: float = self._options.backoff.total_seconds() * 2**times
        return min(delay, _LONGEST_BACKOFF)

    def _at_once(self, part: Part) -> float:
        """Seconds for which a message is hidden that goes back untried: none, if it can be read."""
        return 0.0 if part.record.event else self.backoff(part)

    async def settle(self, part: Part, delay: float | None) -> None:
        """A record is done (None), or failed and is to be tried again after some seconds.

        Raises:
            TransientError: The message could be neither deleted nor put back. It comes again.
        """
        lease = part.lease
        lease.unsettled.discard(part.index)
        if delay is None:
            lease.finished.add(part.index)
        else:
            lease.delays.append(delay)
        try:
            if not lease.unsettled:
                await self._end(lease)
        finally:
            self._follow(part, delay)

    def _follow(self, part: Part, delay: float | None) -> None:
        """What waited for this record in its group: the next one starts, or all go back."""
        if delay is None:
            if following := self._groups.done(part):
                self._begin(following)
            return
        for behind in self._groups.failed(part):
            behind.lease.unsettled.discard(behind.index)
            # SQS gives none of them before the first is back.
            behind.lease.delays.append(self._at_once(behind))
            if not behind.lease.unsettled:
                self._in_background(self._end(behind.lease))

    async def _end(self, lease: Lease) -> None:
        """All its records are settled: delete the message, or put it back."""
        self._remember(lease)
        lease.ending = True
        try:
            if lease.delays:
                await self._visibility.put_back(lease, max(lease.delays))
            else:
                await self._deletes.add(lease.message.receipt)
        finally:
            self._leases.pop(lease.message.id, None)
            self.changed.set()

    def _remember(self, lease: Lease) -> None:
        self._finished[lease.message.id] = lease.finished
        self._finished.move_to_end(lease.message.id)
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)

    async def reject(self, part: Part, reason: str, *, kept: bool) -> None:
        """A record can never succeed: to the dead letter queue, or back for the queue to move it.

        Args:
            part: The record.
            reason: Why.
            kept: The runner has kept it: it is done.

        Raises:
            NotKept: It is too large for the dead letter queue; nothing is settled.
            TransientError: The dead letter queue did not take it. It comes again.
        """
        if kept:
            await self.settle(part, None)
            return
        delay: float | None = self.backoff(part)
        try:
            if self._dead_letters is not None:
                await self._dead_letters.keep(part, reason)
                delay = None
        except NotKept:
            raise
        except BaseException:
            await self.settle(part, delay)
            raise
        await self.settle(part, delay)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that no delivery waits for."""
        task = asyncio.create_task(self._logged(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (TransientError, PermanentError) as error:
            self._log.warning("a message could not be settled and comes again: %s", error)

    # Closing.

    async def release_unstarted(self) -> None:
        """Put back at once what was not handed to the listener yet, and hand out no more."""
        self._closed = True
        for part in self.take_ready():
            self._in_background(self.settle(part, 0.0))
        await self._finish_background()

    async def _finish_background(self) -> None:
        while self._background:
            await asyncio.wait(self._background)

    async def close(self) -> None:
        """Extend nothing any longer, and wait until every message is settled or visible."""
        self._visibility.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                while self._leases:
                    self.changed.clear()
                    await self.changed.wait()
        await self._finish_background()
        await self._deletes.drain()
        await self._visibility.drain()
