"""The S3 source: from an SQS queue (here), or from a bucket's listing (`listing`)."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence

from temporal_runner.plugin import Delivery, PullSource, SourceContext
from temporal_runner_s3.client import Queue
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.in_hand import InHand
from temporal_runner_s3.listing import ListSource

_BATCH = 10
"""SQS gives no more messages at a time."""

_lingering: set[asyncio.Task[None]] = set()
"""Connections that are closed but for what is under way."""


def make_source(options: S3Options, context: SourceContext) -> PullSource:
    """The source for the options' mode."""
    return (
        QueueSource(options, context) if options.mode == "queue" else ListSource(options, context)
    )


class QueueSource(PullSource):
    """Receives the messages of one SQS queue."""

    def __init__(self, options: S3Options, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._queue = Queue(options)
        self._in_hand: InHand | None = None
        self._visibility = 0
        self._polling: asyncio.Task[None] | None = None

    def describe(self) -> str:
        """The queue."""
        return f"SQS queue {self._queue.url}"

    async def connect(self) -> None:
        """Open the client, and ask the queue for its settings, which proves that it is there."""
        await self._queue.open()
        facts = await self._queue.facts()
        given = self._options.visibility_timeout
        # A queue may be set to 0: its messages would be back before they can be handled.
        self._visibility = math.ceil(given.total_seconds()) if given else facts.visibility_timeout
        self._visibility = self._visibility or 30
        self._in_hand = InHand(
            self._queue, self._options, self._context, self._visibility, redrives=facts.redrives
        )

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages, or for what the settling of others lets through."""
        assert self._in_hand is not None
        if ready := self._in_hand.take_ready():
            return ready
        if self._polling is None and not self._in_hand.full:
            self._polling = asyncio.create_task(self._poll(self._in_hand))
        changed = asyncio.create_task(self._in_hand.changed.wait())
        try:
            waits = {changed, self._polling} if self._polling else {changed}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if self._polling is not None and self._polling.done():
            polled, self._polling = self._polling, None
            polled.result()
        return self._in_hand.take_ready()

    async def _poll(self, in_hand: InHand) -> None:
        """Receive once. The messages are in hand at once, even while nobody asks for them."""
        most = min(_BATCH, self._context.max_in_flight)
        wait = round(self._options.wait_time.total_seconds())
        in_hand.take(await self._queue.receive(most, wait, self._visibility))

    async def close(self) -> None:
        """Put back what was not started. What is under way can be settled as long as it is hidden.

        After that it comes again, to the next connection or to another runner.
        """
        in_hand, self._in_hand = self._in_hand, None
        if in_hand is None:
            await self._queue.close()
            return
        await self._stop_polling()
        await in_hand.release_unstarted()
        ending = asyncio.create_task(_end(in_hand, self._queue))
        _lingering.add(ending)
        ending.add_done_callback(_lingering.discard)
        if in_hand.empty:
            await ending

    async def _stop_polling(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._polling


async def _end(in_hand: InHand, queue: Queue) -> None:
    """Close the connection once nothing is under way."""
    try:
        await in_hand.close()
    finally:
        await queue.close()
