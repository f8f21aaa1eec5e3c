"""mode: queue. Receives the messages of a Storage Queue, and hands over the events in them.

poll -> lease -> read -> Delivery -> ack (delete) | nack (make visible) | reject (dead letter)
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from temporal_runner.plugin import Accepted, Delivery, Event, PullSource, SourceContext
from temporal_runner_azure.client import MOST_MESSAGES, Queue, QueueMessage
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.dead_letters import DeadLetters
from temporal_runner_azure.lease import Lease
from temporal_runner_azure.listing import ListSource
from temporal_runner_azure.messages import Record, read_message

_MOST_POLLS = 4
"""Receives that are under way at a time at most: each takes a round trip."""
_TELL_AFTER = 60.0
"""Seconds between two lines about what is left out."""
_LAST_POLLS = 3.0
"""Seconds that receives may still take when the runner stops."""


def make_source(options: AzureOptions, context: SourceContext) -> PullSource:
    """The source of a listener's mode."""
    if options.mode == "list":
        return ListSource(options, context)
    return QueueSource(options, context)


class Pauses:
    """How long to wait before an empty queue is asked again: doubles, and a message ends it."""

    def __init__(self, shortest: float, longest: float) -> None:
        """Begin without a pause.

        Args:
            shortest: Seconds after the first empty answer.
            longest: Seconds at most.
        """
        self._shortest = shortest
        self._longest = longest
        self._next = 0.0

    @property
    def next(self) -> float:
        """Seconds to wait now, a little less at random so that runners do not poll in step."""
        return self._next * random.uniform(0.8, 1.0)

    def saw(self, messages: int) -> None:
        """Take in how many messages the last poll brought."""
        if messages:
            self._next = 0.0
        else:
            self._next = min(max(self._next * 2, self._shortest), self._longest)


class QueueSource(PullSource):
    """Receives the messages of one Storage Queue.

    Attributes:
        left_out: How many files that were made and still empty were no events.
    """

    def __init__(self, options: AzureOptions, context: SourceContext) -> None:
        assert options.queue is not None
        self._options = options
        self._context = context
        self._queue = Queue(options, options.queue)
        self._dead_letters = DeadLetters(options)
        self._visibility = options.visibility_timeout.total_seconds()
        self._pauses = Pauses(options.poll_min.total_seconds(), options.poll_max.total_seconds())
        self._leases: set[Lease] = set()
        self._changed = asyncio.Event()
        self._wanted = 1
        self.left_out = 0
        self._tell_at = 0.0

    async def connect(self) -> None:
        """Open the client, and ask the queue for its settings, which proves that it is there."""
        await self._queue.open()

    async def close(self) -> None:
        """Close the connection, and extend no message any longer.

        After a failed poll some may be under way: settling them takes a connection of its own.
        """
        for lease in self._leases:
            lease.stop()
        await self._queue.close()
        await self._dead_letters.close()

    def describe(self) -> str:
        """The queue, and the dead letter queue."""
        options = self._options
        where = f"{options.account}/{options.queue}" if options.account else options.queue
        return f"Azure queue {where} (dead letters: {options.dead_letters})"

    async def receive(self) -> Sequence[Delivery]:
        """Wait out the pause, and for room; then poll.

        Raises:
            TransientError: Azure cannot be reached, or refuses.
        """
        await asyncio.sleep(self._pauses.next)
        await self._room()
        # Cancelled in the middle of it, a poll would leave messages behind that nobody sees
        # until their time is up: it is finished, and they are given back at once.
        leases: list[Lease] = []
        poll = asyncio.create_task(self._poll(leases))
        try:
            return await asyncio.shield(poll)
        except asyncio.CancelledError:
            await asyncio.wait({poll}, timeout=_LAST_POLLS)
            poll.cancel()
            await asyncio.gather(*(lease.release() for lease in leases), return_exceptions=True)
            raise

    async def _room(self) -> None:
        """Wait until a receive is worth its while: one for each message costs ten times as much."""
        most = self._context.max_in_flight
        while most - len(self._leases) < min(MOST_MESSAGES, max(1, most // 2)):
            self._changed.clear()
            await self._changed.wait()

    async def _poll(self, leases: list[Lease]) -> list[Delivery]:
        """One poll, by one receive or by several at the same time.

        Args:
            leases: Where it notes what it received.

        Raises:
            TransientError: None of them succeeded.
        """
        room = self._context.max_in_flight - len(self._leases)
        polls = max(1, min(self._wanted, room // MOST_MESSAGES))

        async def receive() -> int:
            messages = await self._queue.receive(room // polls, self._visibility)
            leases.extend(self._lease(message) for message in messages)
            return len(messages)

        came = await asyncio.gather(*(receive() for _ in range(polls)), return_exceptions=True)
        failures = [one for one in came if isinstance(one, BaseException)]
        if len(failures) == polls:
            raise failures[0]
        self._pauses.saw(len(leases))
        full = len(leases) >= min(room, polls * MOST_MESSAGES)
        self._wanted = min(self._wanted + 1, _MOST_POLLS) if full else 1
        taken = await asyncio.gather(*(self._take(lease) for lease in leases))
        return [delivery for deliveries in taken for delivery in deliveries]

    def _lease(self, message: QueueMessage) -> Lease:
        lease = Lease(
            self._queue,
            self._dead_letters,
            message,
            self._visibility,
            self._context.log,
            self._ended,
        )
        self._leases.add(lease)
        return lease

    def _ended(self, lease: Lease) -> None:
        self._leases.discard(lease)
        self._changed.set()

    async def _take(self, lease: Lease) -> list[Delivery]:
        """The events of a message, and what stands for those that cannot be read."""
        message, options = lease.message, self._options
        if message.receives > options.max_receives:
            # The last delivery may have ended the runner: it is not looked into again.
            problem = f"it was delivered {message.receives} times"
            records = [Record(message.body, problem=problem)]
        else:
            records = read_message(
                message.body,
                options.encoding,
                created_files=options.include_created_files,
                left_out=self._left_out,
            )
        await lease.hold(records)
        return [QueueDelivery(lease, index, record) for index, record in enumerate(records)]

    def _left_out(self, event: Event) -> None:
        """Count a file that is made and still empty, and tell of them now and then."""
        self.left_out += 1
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + _TELL_AFTER
            self._context.log.info(
                "files that were made and are still empty are left out, %d by now, the last %s:"
                " they come when their writer closes them; include_created_files takes them too",
                self.left_out,
                event.subject,
            )


class QueueDelivery(Delivery):
    """One record of a message."""

    keeps_rejected = True

    def __init__(self, lease: Lease, index: int, record: Record) -> None:
        super().__init__(record.event or _unreadable(lease, index, record))
        self.unreadable = record.problem
        self._lease, self._index = lease, index

    async def ack(self, accepted: Accepted) -> None:
        """The message is deleted with the last of its records."""
        await self._lease.settle(self._index, None)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """It is visible again in so many seconds, once all its records are settled."""
        delay = self._lease.backoff() if retry_after is None else retry_after
        await self._lease.settle(self._index, delay)

    async def reject(self, reason: str) -> None:
        """The record goes to the dead letter queue, then counts as done."""
        await self._lease.reject(self._index, reason, kept=not self.keeps_rejected)


def _unreadable(lease: Lease, index: int, record: Record) -> Event:
    """What stands for a record that cannot be read."""
    return Event(
        id=f"{lease.message.id}/{index}",
        source="urn:azure:queue-message",
        type="unreadable",
        data=record.body,
    )
