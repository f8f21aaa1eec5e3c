"""The S3 source: from an SQS queue (here), or from a bucket's listing (`listing`)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from temporal_runner.plugin import Delivery, PullSource, SourceContext
from temporal_runner_s3.client import Queue
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.leases import InHand
from temporal_runner_s3.listing import ListSource

_BATCH = 10
"""SQS gives no more messages at a time."""
_MOST_POLLS = 8
"""Receives that are under way at a time at most. Each takes a round trip: one at a time would be
some 500 messages a second, whatever the queue gives."""
_LAST_POLLS = 1.0
"""Seconds that receives of a full queue may still take when the runner stops."""

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
        self._polls: set[asyncio.Task[None]] = set()
        self._wanted = 1

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
        self._poll_on(self._in_hand)
        if ready := self._in_hand.take_ready():
            return ready
        changed = asyncio.create_task(self._in_hand.changed.wait())
        try:
            await asyncio.wait({changed, *self._polls}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        done = {poll for poll in self._polls if poll.done()}
        self._polls -= done
        for poll in done:
            poll.result()
        return self._in_hand.take_ready()

    def _poll_on(self, in_hand: InHand) -> None:
        """Have as many receives under way as the queue's last answers suggest, if there is room.

        While the listener works on what it has the next messages come: what is in hand stays
        hidden for as long as it takes.
        """
        while len(self._polls) < self._wanted and in_hand.room > _BATCH * len(self._polls):
            self._polls.add(asyncio.create_task(self._poll(in_hand)))

    async def _poll(self, in_hand: InHand) -> None:
        """Receive once. The messages are in hand at once, even while nobody asks for them."""
        most = min(_BATCH, self._context.max_in_flight)
        wait = round(self._options.wait_time.total_seconds())
        received = await self._queue.receive(most, wait, self._visibility)
        in_hand.take(received)
        # A queue that gives all it is asked for has more. One that does not is waited at, once.
        # The groups of a FIFO queue are in order as long as one receive follows the other.
        full = len(received) == most and not self._queue.fifo
        self._wanted = min(self._wanted + 1, _MOST_POLLS) if full else 1

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
        if self._wanted > 1 and self._polls:
            # The queue is full and answers at once; broken off, many messages would be hidden.
            await asyncio.wait(self._polls, timeout=_LAST_POLLS)
        for poll in self._polls:
            poll.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)


async def _end(in_hand: InHand, queue: Queue) -> None:
    """Close the connection once nothing is under way."""
    try:
        await in_hand.close()
    finally:
        await queue.close()
