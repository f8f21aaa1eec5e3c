"""Visibility: what is in hand is kept hidden from other receivers, what failed is put back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from temporal_runner_s3.batching import Batches
from temporal_runner_s3.client import Queue
from temporal_runner_s3.lease import Message

_LONGEST_HIDDEN = 12 * 3600
"""Seconds from its receive for which SQS lets a message be hidden, however often it is extended."""
_BATCH = 10


class Hiding:
    """Hides the messages in hand anew each half of the time-out."""

    def __init__(
        self,
        queue: Queue,
        held: Mapping[str, Message],
        visibility: int,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Begin at once.

        Args:
            queue: The queue, open.
            held: The messages in hand, at any time.
            visibility: Seconds for which a message is hidden at a time.
            log: Where failures are told.
        """
        self._queue = queue
        self._held = held
        self._visibility = visibility
        self._log = log
        self._lock = asyncio.Lock()
        self._changes = Batches(queue.change_visibility)
        self._heart = asyncio.create_task(self._heartbeat())

    async def put_back(self, message: Message, seconds: float) -> None:
        """Hide a message for some seconds more and then let it come again.

        Raises:
            TransientError: SQS did not do it. The message comes again when its time is over.
        """
        async with self._lock:
            pass  # an extension that is under way would overtake it
        hidden = min(round(seconds), _LONGEST_HIDDEN)
        await self._changes.add((message.received.receipt, hidden))

    def stop(self) -> None:
        """Extend nothing any longer."""
        self._heart.cancel()

    async def drain(self) -> None:
        """Wait until SQS knows what is put back, and for the heartbeat's end."""
        await self._changes.drain()
        await asyncio.wait({self._heart})

    async def _heartbeat(self) -> None:
        pause = self._visibility / 2
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._lock:
                    await self._extend()
                pause = self._visibility / 2
            except Exception as error:
                self._log.warning("messages in hand could not be kept hidden: %s", error)
                pause = self._visibility / 10

    async def _extend(self) -> None:
        now = time.monotonic()
        extended = []
        for message in self._held.values():
            left = int(_LONGEST_HIDDEN - (now - message.since))
            if not message.going and left > 0:
                extended.append((message, min(self._visibility, left)))
        for start in range(0, len(extended), _BATCH):
            batch = extended[start : start + _BATCH]
            failures = await self._queue.change_visibility(
                [(message.received.receipt, seconds) for message, seconds in batch]
            )
            for (message, _), failure in zip(batch, failures, strict=True):
                if failure and not message.going:
                    self._log.warning(
                        "message %s could not be kept hidden and may come again: %s",
                        message.received.id,
                        failure.reason,
                    )
