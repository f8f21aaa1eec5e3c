"""A listener as a component: receives from its source, routes, dispatches, settles.

    receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject

The promises live here. A delivery is acknowledged only after Temporal accepted its action. While
Temporal is away a source that is pulled is not pulled, and what it gave is held; a sender that
pushes is told at once to come again. Each delivery is settled exactly once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from temporal_runner.actions import dispatch
from temporal_runner.errors import EventRejected, TransientError
from temporal_runner.events import Accepted, Delivery
from temporal_runner.plan import ListenerPlan
from temporal_runner.retry import Connector
from temporal_runner.routing import Action, route
from temporal_runner.runtime.temporal import TemporalConnection
from temporal_runner.sources import EventSource, PullSource, PushSource, SourceContext

log = logging.getLogger("temporal_runner.listeners")

_RETRY_AFTER = 5.0
"""Seconds after which a sender is asked to come again while Temporal is away."""
_SETTLE_TIMEOUT = 5.0
"""Seconds that settling a delivery may take while the runner stops."""


class _ListenerLog(logging.LoggerAdapter[logging.Logger]):
    """Each line begins with the listener's name."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        name = self.extra["name"] if self.extra else ""
        return f"listener {name}: {msg}", kwargs


class Listener:
    """One listener of the plan.

    Attributes:
        name: Its name in the config.
        ready: Its source is connected and receives.
        error: Why it is not ready; empty while it is.
        counts: How many deliveries were `received`, and became `accepted`, `duplicate`,
            `ignored`, `nacked`, `rejected`, or had a `filter_error`.
    """

    noun = "listener"

    def __init__(self, plan: ListenerPlan, connections: Mapping[str, TemporalConnection]) -> None:
        self.name = plan.name
        self.restart = plan.restart
        self.ready = False
        self.error = "not started yet"
        self.counts: Counter[str] = Counter()
        self._plan = plan
        self._connections = connections
        self._log = _ListenerLog(
            logging.getLogger("temporal_runner.listeners"), {"name": plan.name}
        )
        self._slots = asyncio.Semaphore(plan.settings.max_in_flight)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._last_of_key: dict[str, asyncio.Task[None]] = {}
        self._source: EventSource | None = None

    def describe(self) -> str:
        """What it listens to, for the start-up message."""
        own = self._source.describe() if self._source else ""
        return own or f"source {self._plan.settings.source}"

    async def run(self) -> None:
        """Listen until cancelled; then take in nothing more and settle what is in flight.

        Raises:
            PermanentError: The source can never be connected.
            GaveUp: The source was not to be reached within the limits.
        """
        connector = Connector(
            f"source {self._plan.settings.source}", self._plan.retry, log=self._log
        )
        connected_before = False
        try:
            while True:
                source = await connector.call(self._connect, proves_health=False)
                if not connected_before:
                    connector.use(self._plan.retry.without_limits())
                    connected_before = True
                try:
                    await self._listen(source, connector)
                except Exception as error:
                    self.ready, self.error = False, str(error) or type(error).__name__
                    await self._close(source)
                    await connector.failed(error)
        except asyncio.CancelledError:
            self.error = "stopping"
            raise
        finally:
            self.ready = False

    async def _connect(self) -> EventSource:
        """One attempt, with a source object of its own."""
        context = SourceContext(self.name, self._plan.settings.max_in_flight, self._log)
        source = self._plan.build(self._plan.options, context)
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
                connector.healthy()
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
        self.ready, self.error = True, ""

    async def _close(self, source: EventSource) -> None:
        try:
            await source.close()
        # A source that fails to close is as gone as one that closes.
        except Exception as error:
            self._log.warning("closing the source failed: %s", error)

    # Sources that are pulled.

    async def _pull(self, source: PullSource, connector: Connector) -> None:
        while True:
            await self._all_available()
            await self._room()
            self._receiving()
            deliveries = await source.receive()
            connector.healthy()
            for delivery in deliveries:
                self._start(delivery)

    def _start(self, delivery: Delivery) -> None:
        """Handle a delivery in a task of its own, after the one before it with the same key."""
        key = delivery.ordering_key
        before = None if key is None else self._last_of_key.get(key)
        task = asyncio.create_task(self._hold(delivery, before))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        if key is not None:
            self._last_of_key[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: str, done: asyncio.Task[None]) -> None:
        if self._last_of_key.get(key) is done:
            del self._last_of_key[key]

    async def _room(self) -> None:
        while len(self._in_flight) >= self._plan.settings.max_in_flight:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)

    async def _all_available(self) -> None:
        for connection in self._used():
            await connection.wait_available()

    def _used(self) -> list[TemporalConnection]:
        return [self._connections[name] for name in {item.connection for item in self._plan.routes}]

    async def _hold(self, delivery: Delivery, before: asyncio.Task[None] | None) -> None:
        """Handle one delivery, and hold it for as long as Temporal is away."""
        settling = _Settling(delivery, self._log)
        try:
            if before is not None:
                await asyncio.wait({before})
            await self._handle(settling, hold=True)
        except asyncio.CancelledError:
            await settling.nack("the runner is stopping", retry_after=0)

    async def _drain(self) -> None:
        """Let what is in flight finish; hand back what would wait for Temporal."""
        if self._in_flight:
            up = all(connection.ready for connection in self._used())
            longest = max(c.rpc_timeout.total_seconds() for c in self._used())
            await asyncio.wait(self._in_flight, timeout=longest + 1 if up else 0.1)
        for task in list(self._in_flight):
            task.cancel()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=_SETTLE_TIMEOUT)

    # Sources that events arrive at.

    async def _deliver(self, delivery: Delivery) -> None:
        settling = _Settling(delivery, self._log)
        async with self._slots:
            try:
                await self._handle(settling, hold=False)
            except asyncio.CancelledError:
                await settling.nack("the runner is stopping", retry_after=0)
                raise

    # One delivery.

    async def _handle(self, settling: _Settling, *, hold: bool) -> None:
        self.counts["received"] += 1
        event = settling.delivery.event
        decision = route(self._plan.routes, event)
        for error in decision.errors:
            self.counts["filter_error"] += 1
            self._log.warning("event %s: %s", event.id, error)
        if decision.action is None:
            await self._unrouted(settling, decision.errors)
            return
        try:
            accepted = await self._carry_out(decision.action, hold=hold)
        except EventRejected as error:
            await self._reject(settling, str(error))
        except TransientError as error:
            self.counts["nacked"] += 1
            self._log.debug("event %s handed back: %s", event.id, error)
            await settling.nack(str(error), retry_after=error.retry_after or _RETRY_AFTER)
        else:
            self.counts["duplicate" if accepted.duplicate else "accepted"] += 1
            await settling.ack(accepted)

    async def _unrouted(self, settling: _Settling, errors: list[str]) -> None:
        if errors:
            await self._reject(settling, "; ".join(errors))
        elif self._plan.settings.unmatched == "reject":
            await self._reject(settling, "no route wants this event")
        else:
            self.counts["ignored"] += 1
            await settling.ack(Accepted())

    async def _reject(self, settling: _Settling, reason: str) -> None:
        self.counts["rejected"] += 1
        self._log.warning("event %s rejected: %s", settling.delivery.event.id, reason)
        await settling.reject(reason)

    async def _carry_out(self, action: Action, *, hold: bool) -> Accepted:
        connection = self._connections[action.connection]
        if not hold:
            if not connection.ready:
                raise TransientError("Temporal is not available", retry_after=_RETRY_AFTER)
            return await self._dispatch(action, connection)
        what = f"event {action.event.id}"
        connector = Connector(what, self._plan.retry.without_limits(), log=self._log)
        while True:
            await connection.wait_available()
            try:
                return await self._dispatch(action, connection)
            except TransientError as error:
                await connector.failed(error)

    async def _dispatch(self, action: Action, connection: TemporalConnection) -> Accepted:
        try:
            return await dispatch(action, connection.client, connection.rpc_timeout)
        except TransientError:
            connection.suspect()
            raise


class _Settling:
    """Settles a delivery once. Where that fails the source delivers it again, which is harmless."""

    def __init__(self, delivery: Delivery, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self.delivery = delivery
        self._log = log
        self._settled = False

    async def ack(self, accepted: Accepted) -> None:
        await self._once(lambda: self.delivery.ack(accepted))

    async def nack(self, reason: str, *, retry_after: float) -> None:
        await self._once(lambda: self.delivery.nack(reason, retry_after=retry_after))

    async def reject(self, reason: str) -> None:
        await self._once(lambda: self.delivery.reject(reason))

    async def _once(self, settle: Callable[[], Awaitable[None]]) -> None:
        if self._settled:
            return
        self._settled = True
        try:
            await settle()
        except Exception as error:
            self._log.warning("event %s: settling failed: %s", self.delivery.event.id, error)
