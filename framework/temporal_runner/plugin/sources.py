"""The event source contract: connect, then receive deliveries or serve them, then close.

A source knows its own service and nothing of Temporal. The runner connects it through the shared
connector, reconnects it when it fails, pauses it while Temporal is away, and settles each delivery.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from temporal_runner.events.event import Delivery

Deliver = Callable[[Delivery], Awaitable[None]]
"""Routes, dispatches and settles one delivery; returns once it is settled."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What the runner tells a source about the listener it works for.

    Attributes:
        listener: The listener's name in the config.
        max_in_flight: How many unsettled deliveries the listener takes at a time.
        log: Where the source logs; its lines carry the listener's name.
    """

    listener: str
    max_in_flight: int
    log: logging.LoggerAdapter[logging.Logger]


class EventSource(ABC):
    """What both forms of source share. Subclass `PullSource` or `PushSource`, not this.

    An object lives for one connection: after a failure the runner closes it and builds another.
    """

    async def connect(self) -> None:
        """Open what the source needs.

        Raises:
            TransientError: Not now; the connector tries again. Any other exception but
                `PermanentError` counts as transient too.
            PermanentError: Trying again cannot help; the runner stops and says so.
        """

    async def close(self) -> None:
        """Release what `connect` opened; also called after a `connect` that failed.

        After a failure of `receive` deliveries may still be in flight, which are settled later: do
        what can be done for them then; what cannot be settled is delivered again.
        """

    def describe(self) -> str:
        """Where it receives from and how to try it, for the start-up message. No secrets."""
        return ""


class PullSource(EventSource):
    """A source that is asked for events: a queue, a list of objects, a table."""

    @abstractmethod
    async def receive(self) -> Sequence[Delivery]:
        """Wait for events and return them, a batch at a time.

        Called again as soon as there is room for more, never while Temporal is away. It may be
        cancelled while it waits; what it returns is always settled. An empty batch is allowed.

        Raises:
            Exception: The connection is lost; the runner closes and connects the source anew.
        """


class PushSource(EventSource):
    """A source that events arrive at: an HTTP server, a socket."""

    @abstractmethod
    async def serve(self, deliver: Deliver) -> None:
        """Serve until cancelled, then finish what is in flight.

        Each event is handed to `deliver` in the task that it arrived in. While Temporal is away
        `deliver` answers at once with a nack, so that the sender learns it and keeps the event.

        Args:
            deliver: Routes, dispatches and settles one delivery; waits while the listener has
                `max_in_flight` of them.
        """


Claims = Callable[[Any], Iterable[str]]
BuildSource = Callable[[BaseModel, SourceContext], EventSource]


@dataclass(frozen=True, slots=True)
class EventSourceKind:
    """The declaration of an event source, as `runner_event_sources` yields it.

    Attributes:
        name: What a config writes after `source:`.
        summary: One line for `runner plugins`.
        options: The pydantic model of the listener's `options:`.
        build: A callable that takes the options and a `SourceContext` and returns the source, or
            a string "package.module:Class" so that no vendor library loads before it is used.
        claims: Takes the options and names what no other listener of the config may have, such as
            the URL of an HTTP path: two that claim the same fail `runner validate`.
    """

    name: str
    summary: str
    options: type[BaseModel]
    build: BuildSource | str
    claims: Claims | None = None
