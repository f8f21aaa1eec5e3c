"""A received message while it is ours: kept invisible, and settled once for all of its records.

Each update of a message makes a new pop receipt and voids the last one. So all that is done to a
message goes through its lease, one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from temporal_runner.plugin import NotKept
from temporal_runner_azure.client import Queue, QueueMessage
from temporal_runner_azure.dead_letters import DeadLetters
from temporal_runner_azure.errors import MessageGone
from temporal_runner_azure.messages import Record, encode

_LONGEST_BACKOFF = 60.0
"""Seconds for which a message that failed is hidden at most."""
Log = logging.LoggerAdapter[logging.Logger]


class Lease:
    """One received message that is neither deleted nor put back yet.

    Attributes:
        message: The message as it was received.
    """

    def __init__(
        self,
        queue: Queue,
        dead_letters: DeadLetters,
        message: QueueMessage,
        visibility: float,
        log: Log,
        ended: Callable[[Lease], None],
    ) -> None:
        """Begin to extend the message's visibility timeout.

        Args:
            queue: Its queue.
            dead_letters: Where records go that can never succeed.
            message: What was received.
            visibility: Seconds that it was received for, and is extended to.
            log: Where to report.
            ended: Called when the message is settled.
        """
        self.message = message
        self._queue = queue
        self._dead_letters = dead_letters
        self._receipt = message.receipt
        self._visibility = visibility
        self._log = log
        self._ended = ended
        self._lock = asyncio.Lock()
        self._records: Sequence[Record] = ()
        self._unsettled: set[int] = set()
        self._delays: dict[int, float] = {}
        self._heartbeat = asyncio.create_task(self._extend_on())

    async def hold(self, records: Sequence[Record]) -> None:
        """Say which records the message has; it is settled when each of them is."""
        self._records = records
        self._unsettled = set(range(len(records)))
        await self._end_if_settled()

    def backoff(self) -> float:
        """Seconds for which a message that failed is hidden: twice as long at each receive."""
        return float(min(2.0 ** (self.message.receives - 1), _LONGEST_BACKOFF))

    async def settle(self, index: int, delay: float | None) -> None:
        """A record is done (None), or failed and is to be tried again after some seconds."""
        self._unsettled.discard(index)
        if delay is not None:
            self._delays[index] = delay
        await self._end_if_settled()

    async def reject(self, index: int, reason: str, *, kept: bool) -> None:
        """A record can never succeed: it goes to the dead letter queue, then counts as done.

        Args:
            index: The record.
            reason: Why.
            kept: The runner has kept it: it is done.

        Raises:
            NotKept: It is too large for the dead letter queue; nothing is settled.
            TransientError: The dead letter queue did not take it. It comes again.
        """
        try:
            if not kept:
                await self._dead_letters.keep(self._records[index].body, reason, self.message)
        except NotKept:
            raise
        except BaseException:
            await self.settle(index, self.backoff())
            raise
        await self.settle(index, None)

    async def release(self) -> None:
        """Give the message back as it came, at once."""
        await self._end(lambda queue: queue.change_visibility(self.message.id, self._receipt, 0))

    def stop(self) -> None:
        """Extend the visibility timeout no longer: the message comes again, unless settled."""
        self._heartbeat.cancel()

    async def _end_if_settled(self) -> None:
        if not self._unsettled:
            await self._end(self._delete_or_put_back)

    async def _end(self, settle: Callable[[Queue], Awaitable[object]]) -> None:
        try:
            async with self._lock, self._queue.in_use() as queue:
                await settle(queue)
        except MessageGone:
            # Deleted already, or delivered anew meanwhile: what Temporal has it has once.
            self._log.info("message %s was not ours any more", self.message.id)
        finally:
            # It waited for the lock, so this does not cut off an extension half way.
            self._heartbeat.cancel()
            self._ended(self)

    async def _delete_or_put_back(self, queue: Queue) -> None:
        if not self._delays:
            await queue.delete(self.message.id, self._receipt)
            return
        # Of several records only those come again that have to.
        rest = [self._records[index].body for index in sorted(self._delays)]
        changed = len(rest) < len(self._records)
        body = encode(rest, like=self.message.body) if changed else None
        delay = min(self._delays.values())
        await queue.change_visibility(self.message.id, self._receipt, delay, body)

    async def _extend_on(self) -> None:
        """Extend the visibility timeout at each half of it, for as long as the lease lives."""
        while True:
            await asyncio.sleep(self._visibility / 2)
            try:
                async with self._lock:
                    self._receipt = await self._queue.change_visibility(
                        self.message.id, self._receipt, self._visibility
                    )
            except MessageGone:
                self._log.warning(
                    "message %s is not ours any more and may be delivered again", self.message.id
                )
                return
            except Exception as error:
                self._log.warning("message %s could not be extended: %s", self.message.id, error)
