"""A listener as a component: its source to Temporal, or its source to the inbox to Temporal.

    receive() -> Delivery -> route(event) -> Action -> dispatch() -> ack | nack | reject

The promises live in the modules that it is put together from: `receiving` (a source at work),
`settling` (one delivery, settled once) and `outlets` (where an event is safe).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from temporal_runner.plan import ListenerPlan
from temporal_runner.plugin.sources import EventSource, SourceContext
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.listeners.outlets import InboxOutlet, TemporalOutlet
from temporal_runner.runtime.listeners.receiving import Receiver
from temporal_runner.runtime.listeners.settling import Settler
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from temporal_runner.runtime.storage.inbox import Inbox
from temporal_runner.runtime.storage.inbox_source import InboxSource

_RETRY_AFTER = 5.0
"""Seconds after which an event is asked for again where nobody knows better."""


class _ListenerLog(logging.LoggerAdapter[logging.Logger]):
    """Each line begins with the listener's name."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        name = self.extra["name"] if self.extra else ""
        return f"listener {name}: {msg}", kwargs


class Listener:
    """One listener of the plan.

    Attributes:
        name: Its name in the config.
        counts: How many deliveries were `received`, and became `stored` (in the inbox),
            `accepted`, `duplicate`, `ignored`, `nacked`, `rejected`, `unreadable`, or had a
            `filter_error`.
        inbox: Its inbox, if it has one.
    """

    noun = "listener"

    def __init__(
        self,
        plan: ListenerPlan,
        connections: Mapping[str, TemporalConnection],
        dead_letters: DeadLetters,
    ) -> None:
        self.name = plan.name
        self.restart = plan.restart
        self.counts: Counter[str] = Counter()
        self.inbox = _make_inbox(plan)
        self._plan = plan
        self._dead_letters = dead_letters
        self._log = _ListenerLog(
            logging.getLogger("temporal_runner.listeners"), {"name": plan.name}
        )
        self._failure = ""
        temporal = TemporalOutlet(plan, connections, self._log)
        self._outlet = temporal if self.inbox is None else InboxOutlet(self.inbox)
        stored_as = "accepted" if self.inbox is None else "stored"
        what, most = f"source {plan.settings.source}", plan.settings.max_in_flight
        self._intake = Receiver(
            what,
            self._make_source,
            self._settler(self._outlet, stored_as, most // 2, _RETRY_AFTER),
            plan.retry,
            most,
            self.counts,
            self._log,
        )
        self._dispatch = None
        if self.inbox is not None:
            inbox = self.inbox
            self._dispatch = Receiver(
                "the inbox",
                lambda: InboxSource(inbox, most),
                self._settler(temporal, "accepted", 0, None),  # the inbox keeps those that failed
                plan.retry.without_limits(),
                most,
                Counter(),  # what the inbox gives was received before
                self._log,
            )

    @property
    def ready(self) -> bool:
        """Its source is connected and receives, and what it gives has a place to go."""
        return self._intake.ready and not self._outlet.error and not self._unread

    @property
    def error(self) -> str:
        """Why it is not ready; empty while it is."""
        return self._failure or self._intake.error or self._outlet.error or self._unread

    @property
    def _unread(self) -> str:
        """Why nothing can be read from the inbox."""
        return "" if self._dispatch is None else self._dispatch.failure

    def describe(self) -> str:
        """What it listens to, for the start-up message."""
        own = self._intake.describe() or f"source {self._plan.settings.source}"
        return own if self.inbox is None else f"{own}\ninbox: {self.inbox.file}"

    def status(self) -> dict[str, Any]:
        """Counts, what is under way and what the inbox holds, for /status."""
        part: dict[str, Any] = {"counts": dict(self.counts)}
        part["in_flight"] = (self._dispatch or self._intake).in_flight
        if self.inbox is not None:
            part["inbox"] = {
                "events": self.inbox.events,
                "bytes": self.inbox.bytes,
                "oldest": round(self.inbox.oldest, 1),
                "failing": self.inbox.failing,
            }
        return part

    async def run(self) -> None:
        """Listen until cancelled; then take in nothing more and settle what is in flight.

        Raises:
            PermanentError: The source can never be connected, or the inbox never be opened.
            GaveUp: The source was not to be reached within the limits.
            TransientError: Another process has the inbox, the disk is full, or the inbox's file
                failed while it was open.
        """
        if self.inbox is None or self._dispatch is None:
            await self._intake.run()
            return
        self._intake.prepare()
        try:
            await self.inbox.open()
            self._failure = ""
            try:
                await _run_stacked(self._intake.run, self._dispatch.run, self.inbox.watch)
            finally:
                await self.inbox.close()
        except Exception as error:
            self._failure = str(error)
            raise

    def _settler(
        self,
        outlet: TemporalOutlet | InboxOutlet,
        accepted_as: str,
        most_waiting: int,
        retry_after: float | None,
    ) -> Settler:
        return Settler(
            self._plan,
            outlet,
            self._dead_letters,
            self.counts,
            accepted_as,
            most_waiting,
            retry_after,
            self._log,
        )

    def _make_source(self) -> EventSource:
        context = SourceContext(self.name, self._plan.settings.max_in_flight, self._log)
        return self._plan.build(self._plan.options, context)


def _make_inbox(plan: ListenerPlan) -> Inbox | None:
    settings = plan.settings.inbox
    if settings is None:
        return None
    return Inbox(
        settings.path,
        max_size=settings.max_size,
        max_age=settings.max_age,
        backoff=plan.retry.backoff,
    )


async def _run_stacked(*floors: Callable[[], Awaitable[None]]) -> None:
    """Run all until one ends or this is cancelled; each is stopped before the next is."""
    tasks = [asyncio.ensure_future(floor()) for floor in floors]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            await asyncio.wait({task})
    for task in tasks:
        if not task.cancelled():
            task.result()
