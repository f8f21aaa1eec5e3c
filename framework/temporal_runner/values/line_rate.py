"""How often a log line that comes again may be written."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_EVERY = 60.0
"""Seconds between two lines that are the same, and for which a place's allowance holds."""
_AT_ONCE = 10
"""Different lines of one place in that time: a thousand workflows fail for one reason."""
_REMEMBERED = 5_000
"""Lines, and places, that are told apart."""


class LineRate:
    """A line is written when it is new, and once a minute while it comes again.

    Of one place of the code no more than ten are, whatever they say. Safe to use in many threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was written yet.

        Args:
            clock: Seconds, monotonic.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        self._places: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def left_out(self, line: Hashable, place: Hashable) -> int | None:
        """Whether a line may be written now.

        Args:
            line: What makes it the same as another.
            place: Where in the code it comes from.

        Returns:
            How often the same came since it was last written; None where it is left out now.
        """
        with self._lock:
            now = self._clock()
            last, missed = self._lines.get(line, (now - _EVERY, 0))
            began, written = self._places.get(place, (now, 0))
            if now - began >= _EVERY:
                began, written = now, 0
            allowed = now - last >= _EVERY and written < _AT_ONCE
            self._lines[line] = (now, 0) if allowed else (last, missed + 1)
            self._places[place] = (began, written + allowed)
            for known, key in ((self._lines, line), (self._places, place)):
                known.move_to_end(key)
                if len(known) > _REMEMBERED:
                    known.popitem(last=False)
            return missed if allowed else None
