"""The messages in hand, from receive to delete: what makes N records N deliveries of one message.

A message is deleted when all its records are settled. While it is in hand it stays hidden; where
a record failed it goes back, and its finished records are remembered. The same message received
again while it is in hand only renews its receipt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from typing import Any

from temporal_runner.plugin import (
    Accepted,
    Delivery,
    Event,
    PermanentError,
    SourceContext,
    TransientError,
)
from temporal_runner_s3.batching import Batches
from temporal_runner_s3.client import Queue, Received
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.dead_letters import DeadLetters
from temporal_runner_s3.fifo_groups import Groups
from temporal_runner_s3.lease import Message, Part
from temporal_runner_s3.messages import in_sequence, read_message
from temporal_runner_s3.visibility import Hiding

_LONGEST_BACKOFF = 900.0
"""Seconds for which a message that failed is hidden at most."""
_REMEMBERED = 10_000
"""Messages whose finished records are remembered."""


class QueueDelivery(Delivery):
    """A record that is handed to the listener."""

    def __init__(self, in_hand: InHand, part: Part, *, keeps_rejected: bool) -> None:
        super().__init__(part.record.event or _stand_in(part))
        self.unreadable = part.record.problem
        self.keeps_rejected = keeps_rejected
        # Without groups the events of one object are handled one after the other.
        self.ordering_key = part.group or f"{self.event.source}/{self.event.subject}"
        self._in_hand, self.part = in_hand, part

    async def ack(self, accepted: Accepted) -> None:
        """Done; with the message's last record the message is deleted."""
        await self._in_hand.settle(self.part, None)

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """The message is put back when its other records are settled, and hidden so long."""
        delay = self._in_hand.backoff(self.part) if retry_after is None else retry_after
        await self._in_hand.settle(self.part, delay)

    async def reject(self, reason: str) -> None:
        """To the dead letter queue, if the source knows one."""
        await self._in_hand.reject(self.part, reason)


def _stand_in(part: Part) -> Event:
    """What stands for a record that cannot be read."""
    received = part.message.received
    return Event(
        id=f"{received.id}/{part.index}",
        source="urn:sqs:message",
        type="unreadable",
        data=part.record.body,
    )


def _in_sequence(parts: Sequence[Part]) -> list[Part]:
    """What cannot be read, then what can, the events of one object in the order they happened."""
    readable = [part for part in parts if part.record.event]
    order = in_sequence([part.record.event for part in readable if part.record.event])
    unreadable = [part for part in parts if not part.record.event]
    return unreadable + [readable[index] for index in order]


class InHand:
    """The messages in hand of one queue.

    Attributes:
        changed: Set when there is something to `take_ready`, or room for more messages.
    """

    def __init__(
        self,
        queue: Queue,
        options: S3Options,
        context: SourceContext,
        visibility: int,
        *,
        redrives: bool,
    ) -> None:
        """Begin empty.

        Args:
            queue: The queue, open.
            options: The listener's.
            context: The listener.
            visibility: Seconds for which a message is hidden unless it is extended.
            redrives: The queue moves what was received too often to a dead letter queue itself.
        """
        self._queue = queue
        self._options = options
        self._context = context
        self._log = context.log
        self._visibility = visibility
        self._held: dict[str, Message] = {}
        self._finished: OrderedDict[str, set[int]] = OrderedDict()
        self._groups: Groups[Part] = Groups()
        self._ready: deque[QueueDelivery] = deque()
        self._chores: set[asyncio.Task[None]] = set()
        self._closed = False
        self._deletes = Batches(queue.delete)
        self._hiding = Hiding(queue, self._held, visibility, context.log)
        url = options.dead_letter_queue_url
        self._dead_letters = DeadLetters(queue, url, context.listener) if url else None
        self._redrives = redrives
        self.changed = asyncio.Event()

    @property
    def empty(self) -> bool:
        """No message is in hand."""
        return not self._held

    @property
    def room(self) -> int:
        """How many more messages may be in hand; as many as the listener takes deliveries."""
        return self._context.max_in_flight - len(self._held)

    # In.

    def take(self, batch: Sequence[Received]) -> None:
        """Take messages in hand, and make ready what can be delivered of them."""
        parts: list[Part] = []
        for received in batch:
            if known := self._held.get(received.id):
                # It was hidden too short, or sent twice: it is under way already.
                known.received, known.since = received, time.monotonic()
            else:
                parts += self._opened(received)
        for part in parts if self._queue.fifo else _in_sequence(parts):
            if self._groups.admit(part):
                self._begin(part)

    def _opened(self, received: Received) -> list[Part]:
        records = read_message(received.body)
        finished = self._finished.get(received.id, set())
        unsettled = set(range(len(records))) - finished
        message = Message(received, time.monotonic(), unsettled, set(finished))
        self._held[received.id] = message
        if not unsettled:
            self._chore(self._resolve(message))
        return [Part(message, index, records[index]) for index in sorted(unsettled)]

    def _begin(self, part: Part) -> None:
        if self._closed:
            self._chore(self.settle(part, self._at_once(part)))
        elif part.record.event is None:
            self._unreadable(part)
        else:
            self._make_ready(part)

    def take_ready(self) -> list[QueueDelivery]:
        """What is to be handed to the listener now."""
        ready = list(self._ready)
        self._ready.clear()
        self.changed.clear()
        return ready

    def _make_ready(self, part: Part) -> None:
        keeps = self._dead_letters is not None or self._redrives
        self._ready.append(QueueDelivery(self, part, keeps_rejected=keeps))
        self.changed.set()

    def _unreadable(self, part: Part) -> None:
        """Back off by the receive count, in case a newer runner can read it; then give it up."""
        received, problem = part.message.received, part.record.problem
        if received.count >= self._options.max_receives:
            self._make_ready(part)
            return
        self._log.warning("message %s cannot be read: %s", received.id, problem)
        self._chore(self.settle(part, self.backoff(part)))

    # Out.

    def backoff(self, part: Part) -> float:
        """Seconds for which a message that failed is hidden: twice as long at each receive."""
        times = min(part.message.received.count - 1, 20)
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
        message = part.message
        message.unsettled.discard(part.index)
        if delay is None:
            message.finished.add(part.index)
        else:
            message.delays.append(delay)
        try:
            if not message.unsettled:
                await self._resolve(message)
        finally:
            self._follow(part, delay)

    def _follow(self, part: Part, delay: float | None) -> None:
        """What waited for this record in its group: the next one starts, or all go back."""
        if delay is None:
            if following := self._groups.done(part):
                self._begin(following)
            return
        for behind in self._groups.failed(part):
            behind.message.unsettled.discard(behind.index)
            # SQS gives none of them before the first is back.
            behind.message.delays.append(self._at_once(behind))
            if not behind.message.unsettled:
                self._chore(self._resolve(behind.message))

    async def _resolve(self, message: Message) -> None:
        """All its records are settled: delete it, or put it back."""
        self._remember(message)
        message.going = True
        try:
            if message.delays:
                await self._hiding.put_back(message, max(message.delays))
            else:
                await self._deletes.add(message.received.receipt)
        finally:
            self._held.pop(message.received.id, None)
            self.changed.set()

    def _remember(self, message: Message) -> None:
        self._finished[message.received.id] = message.finished
        self._finished.move_to_end(message.received.id)
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)

    async def reject(self, part: Part, reason: str) -> None:
        """A record can never succeed: to the dead letter queue, or back for the queue to move it.

        Where there is neither, the runner has kept it, and it is done.

        Raises:
            TransientError: The dead letter queue did not take it. It comes again.
        """
        delay: float | None = self.backoff(part)
        try:
            if self._dead_letters is not None:
                await self._dead_letters.keep(part, reason)
            if self._dead_letters is not None or not self._redrives:
                delay = None
        finally:
            await self.settle(part, delay)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that no delivery waits for."""
        task = asyncio.create_task(self._logged(work))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (TransientError, PermanentError) as error:
            self._log.warning("a message could not be settled and comes again: %s", error)

    # The end.

    async def release_unstarted(self) -> None:
        """Put back at once what was not handed to the listener yet, and hand out no more."""
        self._closed = True
        for delivery in self.take_ready():
            self._chore(self.settle(delivery.part, 0.0))
        await self._finish_chores()

    async def _finish_chores(self) -> None:
        while self._chores:
            await asyncio.wait(self._chores)

    async def close(self) -> None:
        """Keep nothing hidden any longer, and wait until what is in hand is settled or visible."""
        self._hiding.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._visibility):
                while self._held:
                    self.changed.clear()
                    await self.changed.wait()
        await self._finish_chores()
        await self._deletes.drain()
        await self._hiding.drain()
