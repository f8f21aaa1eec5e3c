"""One source at work: connected through the connector, pulled or serving, drained at the end.

While the outlet takes nothing a source that is pulled is not pulled, and what it gave is held; a
sender that pushes is told at once to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable

from temporal_runner.errors import TransientError
from temporal_runner.events.event import Delivery
from temporal_runner.plugin.sources import EventSource, PullSource, PushSource
from temporal_runner.retry.connector import Connector, RetryOptions
from temporal_runner.runtime.listeners.settling import Settlement, Settler

_SETTLE_TIMEOUT = 5.0
"""Seconds that settling a delivery may take while the runner stops."""
_LONGEST_WAIT = 5.0
"""Seconds that a sender waits for one of the `max_in_flight` places; then it is asked to come
again, so that requests do not pile up behind a slow Temporal."""
_RETRY_AFTER = 1.0
"""Seconds after which it is asked to come again then, and what is behind one that comes again."""


class Receiver:
    """Receives from a source, and from a new one of its kind after each failure.

    Attributes:
        ready: The source is connected and receives.
        error: Why it is not ready; empty while it is.
        failure: Why it failed to receive the last time; empty once it receives again.
        in_flight: How many deliveries are under way.
    """

    def __init__(
        self,
        what: str,
        make_source: Callable[[], EventSource],
        settler: Settler,
        retry: RetryOptions,
        max_in_flight: int,
        received: Counter[str],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        """Connect nothing yet.

        Args:
            what: What the source is, for logs: "source s3".
            make_source: Makes a source; it lives for one connection.
            settler: Settles what it gives.
            retry: How it is connected; the limits hold for the first connection.
            max_in_flight: Deliveries under way at a time.
            received: Counts the deliveries as `received`.
            log: Where it logs.
        """
        self.ready = False
        self.error = "not started yet"
        self.failure = ""
        self.in_flight = 0
        self._what = what
        self._make_source = make_source
        self._settler = settler
        self._outlet = settler.outlet
        self._retry = retry
        self._most = max_in_flight
        self._received = received
        self._log = log
        self._source: EventSource | None = None
        self._prepared: EventSource | None = None
        self._slots = asyncio.Semaphore(max_in_flight)
        self._tasks: set[asyncio.Task[bool]] = set()
        self._last_of_key: dict[str, asyncio.Task[bool]] = {}

    def describe(self) -> str:
        """What the source says of itself."""
        return self._source.describe() if self._source else ""

    def prepare(self) -> None:
        """Make the first source, so that a port that others open by then knows its path."""
        # What fails here fails when it is connected too, and is told then.
        with contextlib.suppress(Exception):
            self._prepared = self._make_source()

    async def run(self) -> None:
        """Receive until cancelled; then take in nothing more and settle what is in flight.

        Raises:
            PermanentError: The source can never be connected.
            GaveUp: The source was not to be reached within the limits.
        """
        connector = Connector(self._what, self._retry, log=self._log)
        connected_before = False
        try:
            while True:
                source = await connector.call(self._connect, proves_health=False)
                if not connected_before:
                    connector.switch_to(self._retry.without_limits())
                    connected_before = True
                try:
                    await self._listen(source, connector)
                except Exception as error:
                    self.ready, self.error = False, str(error) or type(error).__name__
                    self.failure = self.error
                    await self._close(source)
                    await connector.back_off_after(error)
        except asyncio.CancelledError:
            self.error = "stopping"
            raise
        finally:
            self.ready = False

    async def _connect(self) -> EventSource:
        """One attempt, with a source object of its own."""
        source, self._prepared = self._prepared or self._make_source(), None
        try:
            await source.connect()
        except BaseException as error:
            self.error = str(error)
            await self._close(source)
            raise
        self._source = source
        return source

    async def _listen(self, source: EventSource, connector: Connector) -> None:
        try:
            if isinstance(source, PullSource):
                await self._pull(source, connector)
            elif isinstance(source, PushSource):
                connector.reset()
                self._receiving()
                await source.serve(self._deliver)
                raise TransientError("the source stopped serving")
            else:
                raise TypeError(f"{type(source).__name__} is neither PullSource nor PushSource")
        except asyncio.CancelledError:
            await self._drain()
            await self._close(source)
            raise

    def _receiving(self) -> None:
        if not self.ready:
            self._log.info("receiving: %s", self.describe())
        self.ready, self.error, self.failure = True, "", ""

    async def _close(self, source: EventSource) -> None:
        try:
            await source.close()
        # A source that fails to close is as gone as one that closes.
        except Exception as error:
            self._log.warning("closing the source failed: %s", error)

    # Sources that are pulled.

    async def _pull(self, source: PullSource, connector: Connector) -> None:
        while True:
            await self._outlet.wait_open()
            await self._room()
            self._receiving()
            deliveries = await source.receive()
            connector.reset()
            for delivery in deliveries:
                self._start(delivery)

    async def _room(self) -> None:
        while len(self._tasks) >= self._most:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    def _start(self, delivery: Delivery) -> None:
        """Settle a delivery in a task of its own, after the one before it with the same key."""
        self._received["received"] += 1
        self.in_flight += 1
        key = delivery.ordering_key
        before = None if key is None else self._last_of_key.get(key)
        if before is not None and before.done():
            before = None
        task = asyncio.create_task(self._hold(delivery, before))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if key is not None:
            self._last_of_key[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))

    def _done(self, task: asyncio.Task[bool]) -> None:
        self.in_flight -= 1
        self._tasks.discard(task)

    def _forget(self, key: str, done: asyncio.Task[bool]) -> None:
        if self._last_of_key.get(key) is done:
            del self._last_of_key[key]

    async def _hold(self, delivery: Delivery, before: asyncio.Task[bool] | None) -> bool:
        """Settle one delivery, and hold it for as long as the outlet takes nothing.

        Where the one before it comes again, so does this one: it would overtake it.

        Returns:
            Whether it was handed back.
        """
        try:
            if before is not None:
                await asyncio.wait({before})
        except asyncio.CancelledError:
            await self._hand_back(delivery, "the runner is stopping", 0)
            raise
        if before is not None and (before.cancelled() or before.result()):
            await self._hand_back(delivery, "the one before it comes again", _RETRY_AFTER)
            return True
        return await self._settler.settle(delivery, hold=True)

    async def _drain(self) -> None:
        """Let what is in flight finish; hand back what would wait for the outlet."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._outlet.drain_time)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_SETTLE_TIMEOUT)

    # Sources that events arrive at.

    async def _deliver(self, delivery: Delivery) -> None:
        self._received["received"] += 1
        if not await self._place():
            await self._hand_back(delivery, "too many events at a time", _RETRY_AFTER)
            return
        self.in_flight += 1
        try:
            await self._settler.settle(delivery, hold=False)
        finally:
            self.in_flight -= 1
            self._slots.release()

    async def _place(self) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _hand_back(self, delivery: Delivery, reason: str, retry_after: float) -> None:
        await Settlement(delivery, self._log).nack(reason, retry_after=retry_after)
