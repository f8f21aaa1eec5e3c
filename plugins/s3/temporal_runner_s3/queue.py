"""mode: queue. Receives the messages of an SQS queue, and hands over the events in them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from temporal_runner.plugin import Accepted, Delivery, Event, PullSource, SourceContext
from temporal_runner_s3.client import MOST_MESSAGES, Queue
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.lease import Part
from temporal_runner_s3.leases import Leases
from temporal_runner_s3.listing import ListSource

_MOST_POLLS = 8
"""Receives that are under way at a time at most. Each takes a round trip: one at a time would be
some 500 messages a second, whatever the queue gives."""
_LAST_POLLS = 1.0
"""Seconds that receives of a full queue may still take when the runner stops."""

_lingering: set[asyncio.Task[None]] = set()
"""Connections that are closed but for what is under way."""


def make_source(options: S3Options, context: SourceContext) -> PullSource:
    """The source of a listener's mode."""
    if options.mode == "list":
        return ListSource(options, context)
    return QueueSource(options, context)


class QueueSource(PullSource):
    """Receives the messages of one SQS queue."""

    def __init__(self, options: S3Options, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._queue = Queue(options)
        self._leases: Leases | None = None
        self._visibility = 0
        self._polls: set[asyncio.Task[None]] = set()
        self._wanted = 1

    def describe(self) -> str:
        """The queue."""
        return f"SQS queue {self._queue.url}"

    async def connect(self) -> None:
        """Open the client, and ask the queue for its settings, which proves that it is there."""
        await self._queue.open()
        attributes = await self._queue.attributes()
        given = self._options.visibility_timeout
        # A queue may be set to 0: its messages would be back before they can be handled.
        self._visibility = (
            math.ceil(given.total_seconds()) if given else attributes.visibility_timeout
        )
        self._visibility = self._visibility or 30
        self._leases = Leases(
            self._queue,
            self._options,
            self._context,
            self._visibility,
            has_redrive_policy=attributes.has_redrive_policy,
        )

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages, or for what the settling of others lets through."""
        leases = self._leases
        assert leases is not None
        self._poll_on(leases)
        if ready := leases.take_ready():
            return [QueueDelivery(leases, part) for part in ready]
        changed = asyncio.create_task(leases.changed.wait())
        try:
            await asyncio.wait({changed, *self._polls}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        done = {poll for poll in self._polls if poll.done()}
        self._polls -= done
        for poll in done:
            poll.result()
        return [QueueDelivery(leases, part) for part in leases.take_ready()]

    def _poll_on(self, leases: Leases) -> None:
        """Have as many receives under way as the queue's last answers suggest, if there is room.

        The next messages come while the listener works on those it has: a lease is extended for
        as long as that takes.
        """
        while len(self._polls) < self._wanted and leases.room > MOST_MESSAGES * len(self._polls):
            self._polls.add(asyncio.create_task(self._poll(leases)))

    async def _poll(self, leases: Leases) -> None:
        """Receive once. The messages are leased at once, even while nobody asks for them."""
        most = min(MOST_MESSAGES, self._context.max_in_flight)
        wait = round(self._options.wait_time.total_seconds())
        messages = await self._queue.receive(most, wait, self._visibility)
        leases.take(messages)
        # A queue that gives all it is asked for has more. At one that does not, one receive waits.
        # The groups of a FIFO queue are in order as long as one receive follows the other.
        full = len(messages) == most and not self._queue.fifo
        self._wanted = min(self._wanted + 1, _MOST_POLLS) if full else 1

    async def close(self) -> None:
        """Put back what was not started. What is under way can be settled as long as it is hidden.

        After that it comes again, to the next connection or to another runner.
        """
        leases, self._leases = self._leases, None
        if leases is None:
            await self._queue.close()
            return
        await self._stop_polling()
        await leases.release_unstarted()
        ending = asyncio.create_task(_end(leases, self._queue))
        _lingering.add(ending)
        ending.add_done_callback(_lingering.discard)
        if leases.empty:
            await ending

    async def _stop_polling(self) -> None:
        if self._wanted > 1 and self._polls:
            # The queue is full and answers at once; broken off, many messages would be hidden.
            await asyncio.wait(self._polls, timeout=_LAST_POLLS)
        for poll in self._polls:
            poll.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)


async def _end(leases: Leases, queue: Queue) -> None:
    """Close the connection once nothing is under way."""
    try:
        await leases.close()
    finally:
        await queue.close()


class QueueDelivery(Delivery):
    """One record of a message."""

    def __init__(self, leases: Leases, part: Part) -> None:
        super().__init__(part.record.event or _unreadable(part))
        self.unreadable = part.record.problem
        self.keeps_rejected = leases.keeps_rejected
        # Without groups the events of one object are handled one after the other.
        self.ordering_key = part.group or f"{self.event.source}/{self.event.subject}"
        self._leases, self._part = leases, part

    async def ack(self, accepted: Accepted) -> None:
        """The message is deleted with the last of its records."""
        await self._leases.settle(self._part, None)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """It is visible again in so many seconds, once all its records are settled."""
        delay = self._leases.backoff(self._part) if retry_after is None else retry_after
        await self._leases.settle(self._part, delay)

    async def reject(self, reason: str) -> None:
        """The record goes to the dead letter queue, if there is one."""
        await self._leases.reject(self._part, reason, kept=not self.keeps_rejected)


def _unreadable(part: Part) -> Event:
    """What stands for a record that cannot be read."""
    return Event(
        id=f"{part.lease.message.id}/{part.index}",
        source="urn:sqs:message",
        type="unreadable",
        data=part.record.body,
    )
