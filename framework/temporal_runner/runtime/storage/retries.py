"""When what failed comes again: with a delay that grows, and what waits behind it in its place.

Entries with one ordering key are a line. Where one fails, it and all behind it wait; the others go
on. What fails holds no place of those in flight, so that a thousand that fail stop nobody.
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from temporal_runner.retry.backoff import Backoff, Delays

_SHORTEST = 0.1
"""Seconds until something comes again at least, whatever the strategy says: no hot loop."""
_UNKNOWN = 5.0
"""Seconds where the strategy fails."""


@dataclass(slots=True)
class _Line:
    """The entries of one key, from the one that failed on.

    Attributes:
        entries: In their order; the first is the one that is tried.
        delays: What is left of the strategy's.
        trying: The one that is tried now, if one is.
        due: When the first is tried again.
    """

    entries: deque[int]
    delays: Delays
    trying: int | None = None
    due: float = 0.0


class Retries:
    """The lines in which something failed."""

    def __init__(self, backoff: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        """Make one in which nothing waits.

        Args:
            backoff: The delays of each line.
            clock: Seconds, monotonic.
        """
        self._backoff = backoff
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._due: list[tuple[float, str]] = []

    def __contains__(self, key: str) -> bool:
        """Whether something with that ordering key failed, so that what comes has to wait."""
        return key in self._lines

    def __len__(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    def failed(self, entry: int, key: str, at_least: float) -> None:
        """An entry is to come again; one that is behind another that failed waits for that one.

        Args:
            entry: Its place in the order of arrival.
            key: Its ordering key.
            at_least: Seconds until then, at least.
        """
        line = self._lines.get(key)
        if line is None:
            line = _Line(deque([entry]), self._backoff.delays(), trying=entry)
            self._lines[key] = line
        self.behind(entry, key)
        first = line.entries[0] if line.trying is None else line.trying
        if entry == first:
            self._schedule(line, key, max(_delay(line.delays), at_least, _SHORTEST))

    def behind(self, entry: int, key: str) -> None:
        """An entry waits in a line, in its place."""
        entries = self._lines[key].entries
        if entries[-1] < entry:
            entries.append(entry)
        elif entry not in entries:
            entries.insert(bisect_left(entries, entry), entry)

    def settled(self, entry: int, key: str) -> None:
        """An entry is done with: what is behind it is next."""
        line = self._lines.get(key)
        if line is None or entry not in line.entries:
            return
        line.entries.remove(entry)
        if not line.entries:
            del self._lines[key]
        elif line.trying == entry:
            line.delays = self._backoff.delays()
            self._schedule(line, key, 0.0)

    def due(self, most: int) -> list[tuple[int, str]]:
        """Entries to be tried now, with their keys, one a line."""
        found: list[tuple[int, str]] = []
        while self._due and len(found) < most and self._due[0][0] <= self._clock():
            due, key = heapq.heappop(self._due)
            line = self._lines.get(key)
            if line is not None and line.trying is None and line.due == due:
                line.trying = line.entries[0]
                found.append((line.trying, key))
        return found

    def next_in(self) -> float | None:
        """Seconds until something is due; None where nothing is."""
        return max(0.0, self._due[0][0] - self._clock()) if self._due else None

    def _schedule(self, line: _Line, key: str, delay: float) -> None:
        line.trying, line.due = None, self._clock() + delay
        heapq.heappush(self._due, (line.due, key))


def _delay(delays: Delays) -> float:
    try:
        return delays.next()
    except Exception:  # a plugin's strategy: what failed comes again all the same
        return _UNKNOWN
