"""Puts single calls together into SQS's batch calls, and reads each entry's own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from temporal_runner.plugin import TransientError

T = TypeVar("T")
_MOST = 10
"""SQS takes no more entries in a batch."""
_LINGER = 0.01
"""Seconds that an entry waits for others."""
_TRIES = 3
_RETRY_DELAY = 0.2
"""Seconds before an entry that failed is sent again; twice as long the next time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An entry of a batch call's `Failed`.

    Attributes:
        reason: The service's code and message.
        final: It is the sender's fault: sending it again cannot help.
    """

    reason: str
    final: bool


Send = Callable[[Sequence[T]], Awaitable[Sequence[Failure | None]]]
"""Sends a batch; returns for each entry its failure, or None."""


class Batching(Generic[T]):
    """One kind of batch call."""

    def __init__(self, send: Send[T]) -> None:
        self._send = send
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def add(self, entry: T) -> None:
        """Send an entry with others that come at the same time; return when it was taken.

        It is sent even where the caller is cancelled meanwhile.

        Raises:
            TransientError: The service refused this entry, or could not be reached.
        """
        outcome = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, outcome))
        if len(self._waiting) >= _MOST:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LINGER, self._flush)
        await outcome

    async def drain(self) -> None:
        """Send what waits, and wait for every outcome."""
        self._flush()
        if self._sending:
            await asyncio.wait(self._sending)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.create_task(self._carry_out(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _carry_out(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        delay = _RETRY_DELAY
        for attempt in range(1, _TRIES + 1):
            try:
                failures = await self._send([entry for entry, _ in batch])
            except Exception as error:
                for _, outcome in batch:
                    _fail(outcome, str(error))
                return
            again = []
            for (entry, outcome), failure in zip(batch, failures, strict=True):
                if failure is None:
                    if not outcome.done():
                        outcome.set_result(None)
                elif failure.final or attempt == _TRIES:
                    _fail(outcome, failure.reason)
                else:
                    again.append((entry, outcome))
            if not again:
                return
            batch = again
            await asyncio.sleep(delay)
            delay *= 2


def _fail(outcome: asyncio.Future[None], reason: str) -> None:
    if not outcome.done():
        outcome.set_exception(TransientError(reason))
