"""How many calls may be under way at a time: few after an outage, more with each that succeeds.

A server that comes back has little to spare. A hundred starts at once would take it all, and the
first workflow would be completed when all of them are started. So a listener begins with a few
calls and has one more under way after each round of them that succeeded; a failure halves it. That
is how TCP finds the room of a network it does not know, and it finds a server's in the same way:
one that is ten times as fast is at its full load in a tenth of the time.
"""

from __future__ import annotations

import asyncio
from collections import deque

from temporal_runner.errors import Busy

_FEWEST = 4.0
"""Calls under way after an outage, and at least: enough to keep a small server busy."""
_LONGEST_WAIT = 5.0
"""Seconds that a call waits for its turn: behind calls that hang senders would wait for longer than
they have patience, and pile up."""
_RETRY_AFTER = 1.0
"""Seconds after which its event is asked for again then."""


class ConcurrencyLimit:
    """Lets calls begin, as many at a time as succeed."""

    def __init__(self, most: int) -> None:
        """Make one for a server that is well.

        Args:
            most: Calls under way at a time, when all is well.
        """
        self._most = self._room = float(most)
        self._under_way = 0
        self._outages = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def room(self) -> int:
        """How many calls may be under way now."""
        return int(self._room)

    def lost(self) -> None:
        """The server is gone: begin with few. What is under way comes to nothing."""
        self._outages += 1
        self._under_way = 0
        self._room = min(self._most, _FEWEST)
        self._next()

    async def begin(self) -> int:
        """Wait until a call may begin.

        Returns:
            What `end` has to be told.

        Raises:
            Busy: Its turn did not come.
        """
        if self._under_way >= self.room:
            try:
                async with asyncio.timeout(_LONGEST_WAIT):
                    await self._turn()
            except TimeoutError:
                raise Busy("Temporal takes few calls now", retry_after=_RETRY_AFTER) from None
        self._under_way += 1
        return self._outages

    async def _turn(self) -> None:
        while self._under_way >= self.room:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._next()  # its turn, if it had come, is another's
                raise

    def end(self, begun: int, *, succeeded: bool) -> None:
        """A call ended.

        Args:
            begun: What `begin` returned.
            succeeded: The server took it, or said that it never will.
        """
        if begun != self._outages:
            return  # it was under way when the server was lost, and waited for nothing
        self._under_way -= 1
        if succeeded:
            self._room = min(self._most, self._room + 1 / self._room)
        else:
            self._room = min(self._most, max(_FEWEST, self._room / 2))
        self._next()

    def _next(self) -> None:
        """Wake as many as there is room for."""
        free = self.room - self._under_way
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
