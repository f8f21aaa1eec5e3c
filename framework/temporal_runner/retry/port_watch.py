"""Cuts the wait between two attempts short when what is waited for opens its port.

A look at a port costs next to nothing where an attempt costs a handshake and calls. Only a port
that was closed and opens ends a wait: one that is open all along (a proxy's, or of a server that
answers and refuses) tells nothing. How often a wait is cut short is bounded, and what looks is
jittered. Ten thousand runners that all come at the moment the port opens are another thing: a fleet
switches it off (`wake_on_port: false`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable, Iterator

Look = Callable[[], Awaitable[bool]]
"""Whether the port is open."""

_EVERY = 0.1
"""Seconds between two looks on average; a hundredth of the wait where that is longer."""
_SOON = (0.05, 0.1, 0.1, 0.2, 0.2, 0.4, 0.4)
"""Seconds before the first attempts after a port opened: a server opens it before it serves
(Temporal's dev server 0.07 s before, real clusters some seconds)."""
_MOST = 20
"""Waits that are cut short before the thing was healthy again."""
_LOOK_TIME = 1.0
"""Seconds that one look may take."""


class PortWatch:
    """Waits for one thing, and looks at its port meanwhile."""

    def __init__(
        self,
        look: Look,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Look at nothing yet.

        Args:
            look: Whether the port is open.
            clock: Seconds, monotonic.
            sleep: Waits that many seconds.
        """
        self._look = look
        self._clock = clock
        self._sleep = sleep
        self.reset()

    def reset(self) -> None:
        """The thing works: begin anew."""
        self._left = _MOST
        self._soon: Iterator[float] = iter(())

    def soon(self) -> float | None:
        """The delay before an attempt soon after the port opened; None when it is long open."""
        delay = next(self._soon, None)
        return None if delay is None else delay * random.uniform(0.5, 1.0)

    async def wait(self, delay: float, *, closed: bool) -> None:
        """Wait so many seconds, or until the port opens.

        Args:
            delay: Seconds.
            closed: The port was closed when the attempt failed.
        """
        until = self._clock() + delay
        every = max(_EVERY, delay / 100)
        while (left := until - self._clock()) > 0:
            pause = every * random.uniform(0.5, 1.5)
            if not self._left or left <= pause:
                await self._sleep(left)
                return
            await self._sleep(pause)
            is_open = await self._look()
            if is_open and closed:
                self._left -= 1
                self._soon = iter(_SOON)
                return
            closed = not is_open


def look_at(address: str) -> Look:
    """A look at a TCP port.

    Args:
        address: host:port.
    """
    host, _, port = address.rpartition(":")

    async def look() -> bool:
        try:
            async with asyncio.timeout(_LOOK_TIME):
                # A look-up within open_connection that outlives its time, as in a container whose
                # name server is slow, would end as an error that nobody takes.
                found = await asyncio.get_running_loop().getaddrinfo(
                    host.strip("[]"), int(port), type=socket.SOCK_STREAM
                )
                for *_, place in found:
                    if await _opens(str(place[0]), int(port)):
                        return True
        except (OSError, TimeoutError, ValueError):
            pass
        return False

    return look


async def _opens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
