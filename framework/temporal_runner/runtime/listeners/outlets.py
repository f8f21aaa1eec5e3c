"""Where a listener hands its actions to, so that the event is safe: Temporal, or the inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from temporal_runner.errors import Busy, EventRejected, TransientError
from temporal_runner.events.event import Accepted, Delivery
from temporal_runner.events.identity import event_key
from temporal_runner.plan import ListenerPlan
from temporal_runner.routing.actions import Action, Update, UpdateWithStart
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.dispatch.actions import dispatch
from temporal_runner.runtime.listeners.circuit_breaker import CircuitBreaker
from temporal_runner.runtime.listeners.concurrency_limit import ConcurrencyLimit
from temporal_runner.runtime.storage.inbox import Inbox

_RETRY_AFTER = 5.0
"""Seconds after which a sender is asked to come again while Temporal is away."""
_LIMITED = frozenset(["start", "signal", "signal_with_start", "start_activity"])
"""Actions that the server takes by itself: an update waits for a worker, too."""
_BESIDE_THE_CALLS = 60.0
"""Seconds that a codec, a converter and interceptors may take for one action."""
_MOST_CALLS = 4
"""Calls that one action may take, each bounded by `rpc_timeout`."""
_LONGEST_REASON = 2000
_WRITE_TIME = 5.0
"""Seconds that writing what is in flight may take while the runner stops."""


class Outlet(Protocol):
    """A place where events are safe."""

    @property
    def error(self) -> str:
        """Why it takes nothing now; empty while it does."""

    @property
    def drain_time(self) -> float:
        """Seconds that what is in flight may take while the runner stops."""

    async def wait_open(self, action: Action | None = None) -> None:
        """Return when it takes this action, or any that the listener may have."""

    async def take(self, action: Action, delivery: Delivery) -> Accepted:
        """Make an action's event safe.

        Raises:
            Busy: Not now; `wait_open` tells when.
            TransientError: It was tried, and failed.
            EventRejected: Never.
        """


class TemporalOutlet:
    """Carries actions out at once."""

    def __init__(
        self,
        plan: ListenerPlan,
        connections: Mapping[str, TemporalConnection],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        names = {route.connection for route in plan.routes}
        self._connections = {name: connections[name] for name in names}
        self._circuit_breakers = {name: CircuitBreaker(plan.retry.backoff, log) for name in names}
        self._limits = {name: ConcurrencyLimit(plan.settings.max_in_flight) for name in names}
        for name in names:
            connections[name].when_lost(self._limits[name].lost)
            connections[name].when_lost(self._circuit_breakers[name].reset)

    @property
    def error(self) -> str:
        """Why calls are refused though the connection is there."""
        return next(
            (circuit.error for circuit in self._circuit_breakers.values() if circuit.error), ""
        )

    @property
    def drain_time(self) -> float:
        """A call's time-out; hardly any where nothing can come of waiting."""
        connections = self._connections.values()
        if not all(connection.ready for connection in connections):
            return 0.1
        return 1 + max(one.rpc_timeout.total_seconds() for one in connections)

    async def wait_open(self, action: Action | None = None) -> None:
        """Temporal can be used."""
        for name in self._connections if action is None else (action.connection,):
            await self._circuit_breakers[name].wait()
            await self._connections[name].wait_available()

    async def take(self, action: Action, delivery: Delivery) -> Accepted:
        """Carry it out."""
        connection = self._connections[action.connection]
        self._check(connection)
        with self._circuit_breakers[action.connection].call(action.event):
            if action.kind in _LIMITED:
                return await self._limited(action, connection, self._limits[action.connection])
            return await self._dispatch(action, connection)

    async def _limited(
        self, action: Action, connection: TemporalConnection, limit: ConcurrencyLimit
    ) -> Accepted:
        begun = await limit.begin()
        succeeded = False
        try:
            self._check(connection)
            accepted = await self._dispatch(action, connection)
            succeeded = True
        except EventRejected:
            succeeded = True  # the server said so
            raise
        finally:
            limit.end(begun, succeeded=succeeded)
        return accepted

    async def _dispatch(self, action: Action, connection: TemporalConnection) -> Accepted:
        try:
            async with asyncio.timeout(_longest(action, connection)):
                return await dispatch(action, connection.client, connection.rpc_timeout)
        except EventRejected:
            raise
        except TransientError:
            # An outage is nobody's failure: it is waited out, and not counted.
            await connection.look()
            self._check(connection)
            raise
        # What a codec, a converter or an interceptor raises may pass, as a key service does that is
        # away: whether it does not is told by what becomes of other events.
        except Exception as error:
            raise TransientError(_unexpected(action, error)) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise TransientError(_unexpected(action, error)) from error  # it is theirs, not ours

    def _check(self, connection: TemporalConnection) -> None:
        if not connection.ready:
            raise Busy("Temporal is not available", retry_after=_RETRY_AFTER)


def _longest(action: Action, connection: TemporalConnection) -> float:
    """Seconds after which something beside the calls hangs, and will not end by itself."""
    wait = action.wait_for_result if isinstance(action, Update | UpdateWithStart) else None
    waited = 0.0 if wait is None else wait.total_seconds()
    return _BESIDE_THE_CALLS + _MOST_CALLS * connection.rpc_timeout.total_seconds() + waited


def _unexpected(action: Action, error: BaseException) -> str:
    text = f"{action.kind} {action.name} ({action.id}): {type(error).__name__}: {error}"
    return text[:_LONGEST_REASON]


class InboxOutlet:
    """Writes events down, for an outlet to Temporal that reads them from there."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @property
    def error(self) -> str:
        """Why the inbox takes nothing."""
        return self._inbox.refusal() or self._inbox.error

    @property
    def drain_time(self) -> float:
        """A commit's."""
        return _WRITE_TIME

    async def wait_open(self, action: Action | None = None) -> None:
        """There is room."""
        await self._inbox.wait_room()

    async def take(self, action: Action, delivery: Delivery) -> Accepted:
        """Write it down; where the source names no order, what concerns one workflow keeps its."""
        key = action.id if delivery.ordering_key is None else delivery.ordering_key
        new = await self._inbox.put(action.event, event_key(action.event), key)
        return Accepted(action=action.kind, workflow_id=action.id, duplicate=not new)
