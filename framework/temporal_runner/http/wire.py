"""The transport of one connection: until when something has to happen on it, and what it holds."""

from __future__ import annotations

import asyncio
import math
from typing import cast

LINGER = 2.0
"""Seconds for which a client may go on after its answer: it is thrown away as it comes, since a
connection closed at once would be reset, and the sender might never read the answer."""
MOST_THROWN_AWAY = 1024 * 1024
"""Bytes of that; then nothing is read until the time is up."""
UNREAD = 10.0
"""Seconds for which a client may leave its answers unread."""


class Wire:
    """From when a connection is made until it is lost; before and after it does nothing.

    Attributes:
        due: When something has to have happened, by the loop's clock.
        full: Reading is paused until there is room for more of a body.
        parting: All is said: what still comes is thrown away.
        lost: Set when the client has gone.
        unread: Where the client does not read its answers, what is set when it does again.
    """

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._transport: asyncio.Transport | None = None
        self._held = False
        self._thrown_away = 0
        self.due = math.inf
        self.full = self.parting = False
        self.lost = asyncio.Event()
        self.unread: asyncio.Event | None = None

    def made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)

    def gone(self) -> None:
        """It is no more."""
        self._transport = None
        self.lost.set()
        self.read_again()

    @property
    def open(self) -> bool:
        """Something may be said."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def half_open(self) -> bool:
        """One side may end before the other: not by TLS."""
        return self._transport is not None and self._transport.can_write_eof()

    def give(self, seconds: float) -> None:
        """Something has to happen within so many seconds, unless it has to earlier."""
        if self.unread is None and not self.parting:
            self.due = self._clock() + seconds

    def write(self, data: bytes) -> None:
        """Say something."""
        if self._transport is not None and self.open:
            self._transport.write(data)

    def end_ours(self) -> None:
        """Say no more, and go on to read: the client need not wait until nobody listens."""
        if self._transport is not None and self.open and self.half_open:
            self._transport.write_eof()

    def part(self, last_words: bytes) -> None:
        """End our side with this, and let the client's come to an end."""
        if self._transport is not None and self.open and not self.parting:
            self.write(last_words)
            self.give(LINGER)
            self.parting = True
            if self.half_open:
                self.end_ours()
            else:
                self._transport.close()

    def throw_away(self, data: bytes) -> None:
        """It came when all was said."""
        self._thrown_away += len(data)
        if self._thrown_away > MOST_THROWN_AWAY:
            self.hold()

    def close(self) -> None:
        """Close when all is sent."""
        if self._transport is not None:
            self._transport.close()
            self.due = self._clock() + UNREAD

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def not_read(self) -> None:
        """Answers are not read."""
        self.give(UNREAD)
        self.unread = asyncio.Event()

    def read_again(self) -> None:
        """They are."""
        if self.unread is not None:
            self.unread.set()
            self.unread = None

    def hold(self) -> None:
        """Read no more until answers have caught up."""
        if self._transport is not None and self.open:
            self._held = True
            self._transport.pause_reading()

    def keep_holding(self) -> None:
        """What aiohttp has begun to read again, not yet."""
        if self._held:
            self.hold()

    def let_go(self) -> None:
        """Read on."""
        if self._transport is not None and self.open and self._held:
            self._held = False
            if not self.full:
                self._transport.resume_reading()
