"""Webhook sources that break the promises: with them the ledger has to show it.

A local runner plugin: a config names this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from temporal_runner.plugin import (
    Accepted,
    Deliver,
    Delivery,
    EventSourceKind,
    hookimpl,
)
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.source import WebhookSource


class HastySource(WebhookSource):
    """Acknowledges first; then it hands the event over."""

    _later: set[asyncio.Future[None]]

    async def serve(self, deliver: Deliver) -> None:
        self._later = set()

        async def deliver_later(delivery: Delivery) -> None:
            task = asyncio.ensure_future(deliver(Unheard(delivery.event)))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
            await delivery.ack(Accepted(action="start"))

        await super().serve(deliver_later)


class ForgetfulSource(WebhookSource):
    """Hands each event over twice, the second time as if it were another one."""

    async def serve(self, deliver: Deliver) -> None:
        async def deliver_twice(delivery: Delivery) -> None:
            event = delivery.event
            await deliver(Unheard(replace(event, id=f"{event.id}-again")))
            await deliver(delivery)

        await super().serve(deliver_twice)


class Unheard(Delivery):
    """A delivery whose settling nobody hears of."""

    async def ack(self, accepted: Accepted) -> None:
        """Nobody hears it."""

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """Nobody sends it again."""

    async def reject(self, reason: str) -> None:
        """The runner keeps it."""


@hookimpl
def runner_event_sources() -> Iterable[EventSourceKind]:
    """Both."""
    for name in ("hasty", "forgetful"):
        build = f"tests.faults.careless:{name.capitalize()}Source"
        yield EventSourceKind(name, f"a {name} webhook", WebhookOptions, build)
