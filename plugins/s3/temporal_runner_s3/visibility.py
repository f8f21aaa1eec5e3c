"""The visibility timeout: extended while a message is leased, shortened where it goes back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from temporal_runner_s3.batching import Batching
from temporal_runner_s3.client import MOST_MESSAGES, Queue
from temporal_runner_s3.lease import Lease

_LONGEST = 12 * 3600
"""Seconds from its receive for which SQS lets a message be hidden, however often it is extended."""


class Visibility:
    """Extends the visibility timeout of all leased messages, at each half of it."""

    def __init__(
        self,
        queue: Queue,
        leases: Mapping[str, Lease],
        timeout: int,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Begin at once.

        Args:
            queue: The queue, open.
            leases: The leased messages, at any time.
            timeout: Seconds that it is extended to.
            log: Where failures are told.
        """
        self._queue = queue
        self._leases = leases
        self._timeout = timeout
        self._log = log
        self._lock = asyncio.Lock()
        self._changes = Batching(queue.change_visibility)
        self._heartbeat = asyncio.create_task(self._extend_on())

    async def put_back(self, lease: Lease, seconds: float) -> None:
        """Let a message be visible again in some seconds.

        Raises:
            TransientError: SQS did not do it. The message comes again when its time is over.
        """
        async with self._lock:
            pass  # an extension that is under way would overtake it
        hidden = min(round(seconds), _LONGEST)
        await self._changes.add((lease.message.receipt, hidden))

    def stop(self) -> None:
        """Extend nothing any longer."""
        self._heartbeat.cancel()

    async def drain(self) -> None:
        """Wait until SQS knows what is put back, and for the heartbeat's end."""
        await self._changes.drain()
        await asyncio.wait({self._heartbeat})

    async def _extend_on(self) -> None:
        pause = self._timeout / 2
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._lock:
                    await self._extend()
                pause = self._timeout / 2
            except Exception as error:
                self._log.warning("the visibility timeout could not be extended: %s", error)
                pause = self._timeout / 10

    async def _extend(self) -> None:
        now = time.monotonic()
        extended = []
        for lease in self._leases.values():
            left = int(_LONGEST - (now - lease.since))
            if not lease.ending and left > 0:
                extended.append((lease, min(self._timeout, left)))
        for start in range(0, len(extended), MOST_MESSAGES):
            batch = extended[start : start + MOST_MESSAGES]
            failures = await self._queue.change_visibility(
                [(lease.message.receipt, seconds) for lease, seconds in batch]
            )
            for (lease, _), failure in zip(batch, failures, strict=True):
                if failure and not lease.ending:
                    self._log.warning(
                        "message %s could not be extended and may come again: %s",
                        lease.message.id,
                        failure.reason,
                    )
