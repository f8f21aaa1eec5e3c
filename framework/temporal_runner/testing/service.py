"""What a conformance test knows of a source: its capabilities and hooks, and how to use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from temporal_runner.events.event import Event
from temporal_runner.plugin.sources import EventSource, SourceContext
from temporal_runner.testing.fakes import make_context
from temporal_runner.testing.receiving import Receiving

Sent = Literal["accepted", "again", "refused"]
"""What the sender of a pushed event learns: done; send it again later; it can never succeed."""


class SourceUnderTest:
    """A source and its service, as far as the conformance tests have to know them.

    Attributes:
        redelivers: An event that is not acknowledged comes again by itself.
        ordered: Events come in the order in which they were put, under one `ordering_key`.
        keeps_rejected: A rejected event is kept with the reason: write `dead_letters`.
        patience: Seconds to wait for what has to come: longer than a redelivery takes.
        quiet: Seconds to watch that something does not come.
        secrets: Texts of your options that nothing may show.
    """

    redelivers: bool = True
    ordered: bool = False
    keeps_rejected: bool = False
    patience: float = 10.0
    quiet: float = 0.2
    secrets: tuple[str, ...] = ()

    # What a subclass provides.

    def make_source(self, context: SourceContext) -> EventSource:
        """A new source, not connected, of the one service that `put` puts events into."""
        raise NotImplementedError

    async def put(self, name: str) -> Sent | None:
        """Let an event of that name happen.

        For a pull source: return once the service has it. For a push source: send it, and return
        what the sender learns.
        """
        raise NotImplementedError

    def name_of(self, event: Event) -> str | None:
        """The name that `put` gave an event; by default its subject."""
        return event.subject

    async def dead_letters(self) -> Mapping[str, str]:
        """The rejected events that are kept: their names, and where each name has its reason."""
        raise NotImplementedError

    async def put_malformed(self) -> Sent | None:
        """Send what no event can be made of."""
        raise NotImplementedError

    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        """A source whose service is not there, such as one at a port where nobody listens."""
        raise NotImplementedError

    # Helpers for a subclass's own tests.

    def receiving(self) -> Receiving:
        """A new source at work: `async with self.receiving() as receiving: …`."""
        return Receiving(self.make_source(make_context()), patience=self.patience)
