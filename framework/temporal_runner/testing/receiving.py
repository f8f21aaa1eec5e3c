"""Runs a source as a listener would, and hands over to a test what it delivers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from types import TracebackType

from temporal_runner.events.event import Accepted, Delivery
from temporal_runner.plugin.sources import EventSource, PullSource, PushSource


class Receiving:
    """A source at work: connected on entry, closed on exit, what it delivers in between.

    async with Receiving(source) as receiving:
        delivery = await receiving.next()
        await receiving.ack(delivery)

    Attributes:
        source: The source.
        patience: Seconds to wait for what has to come.
    """

    def __init__(self, source: EventSource, *, patience: float = 10.0) -> None:
        self.source = source
        self.patience = patience
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._unsettled: dict[int, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def pushes(self) -> bool:
        """Events arrive at this source: their senders wait for an answer."""
        return isinstance(self.source, PushSource)

    async def __aenter__(self) -> Receiving:
        try:
            async with asyncio.timeout(self.patience):
                await self.source.connect()
        except BaseException:
            await self.source.close()
            raise
        self._task = asyncio.create_task(self._run(), name="receiving")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        finally:
            await self.source.close()

    async def stop(self) -> None:
        """Cancel `receive` or `serve`, as the runner does when it stops, and await its end."""
        assert self._task is not None
        self._task.cancel()
        _, running = await asyncio.wait({self._task}, timeout=self.patience)
        assert not running, f"it did not end within {self.patience:g}s of being cancelled"

    async def next(self) -> Delivery:
        """The next delivery."""
        assert self._task is not None
        arrived = asyncio.create_task(self._arrived.get())
        await asyncio.wait(
            {arrived, self._task}, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED
        )
        if arrived.done():
            return arrived.result()
        arrived.cancel()
        assert not self._task.done(), f"the source failed: {_end_of(self._task)}"
        raise AssertionError(f"no event arrived within {self.patience:g}s")

    async def several(self, number: int) -> list[Delivery]:
        """The next deliveries, none of them settled yet."""
        return [await self.next() for _ in range(number)]

    async def nothing(self, seconds: float) -> None:
        """Watch that no delivery comes for so long, and that the source goes on."""
        assert self._task is not None
        arrived = asyncio.create_task(self._arrived.get())
        await asyncio.wait({arrived, self._task}, timeout=seconds)
        assert not self._task.done(), f"the source failed: {_end_of(self._task)}"
        if arrived.done():
            event = arrived.result().event
            raise AssertionError(f"an event arrived that should not have: {event.id} {event.type}")
        arrived.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await arrived

    async def ack(self, delivery: Delivery, accepted: Accepted | None = None) -> None:
        """Acknowledge: it is in Temporal."""
        await delivery.ack(accepted or Accepted(action="start", workflow_id="conformance"))
        self._settled(delivery)

    async def nack(self, delivery: Delivery, reason: str = "not now") -> None:
        """Ask for it to come again soon."""
        await delivery.nack(reason, retry_after=0)
        self._settled(delivery)

    async def reject(self, delivery: Delivery, reason: str) -> None:
        """Refuse it for good."""
        await delivery.reject(reason)
        self._settled(delivery)

    def _settled(self, delivery: Delivery) -> None:
        if waiting := self._unsettled.pop(id(delivery), None):
            waiting.set()

    async def _run(self) -> None:
        match self.source:
            case PullSource():
                while True:
                    await self._take(await self.source.receive())
                    await asyncio.sleep(0)  # an empty batch at once must not stop all else
            case PushSource():
                await self.source.serve(self._deliver)
            case _:
                raise TypeError(f"{type(self.source).__name__} is no PullSource and no PushSource")

    async def _take(self, batch: Collection[Delivery]) -> None:
        for delivery in batch:
            if delivery.unreadable:  # as a listener does, which routes no such event
                await delivery.reject(delivery.unreadable)
            else:
                self._arrived.put_nowait(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        settled = self._unsettled[id(delivery)] = asyncio.Event()
        self._arrived.put_nowait(delivery)
        await settled.wait()


def _end_of(task: asyncio.Task[None]) -> str:
    if task.cancelled():
        return "cancelled"
    return repr(task.exception()) if task.exception() else "it ended by itself"
