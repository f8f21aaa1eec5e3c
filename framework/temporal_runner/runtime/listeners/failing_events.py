"""Tells an event that can never succeed from an outage, by what becomes of the others.

Temporal may be throttled, a key service may be away: then many events fail, and have to wait. But
an event that fails again and again while others of its route succeed is itself at fault, whatever
the error says: a codec or a converter that fails at its content, an ID that the server answers with
UNAVAILABLE, a workflow that takes no more updates.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from temporal_runner.events.event import Event
from temporal_runner.events.identity import event_key
from temporal_runner.values.durations import format_duration

FAILURES = 10
"""Failures, each after others succeeded since the one before, that are enough."""
SECONDS = 60.0
"""For how long it has to have failed: a sender may try ten times within a second."""
_MOST = 10_000
"""Events that are remembered; the one that failed longest ago is forgotten first."""


@dataclass(slots=True)
class _Route:
    """What became of a route's events: attempts that succeeded, and events that began to fail."""

    succeeded: int = 0
    began_to_fail: int = 0


@dataclass(slots=True)
class _Failing:
    """An event that fails; what became of the others is as of its last failure."""

    since: float
    others_succeeded: int
    others_began_to_fail: int
    failures: int = 1
    alone: int = 0


class FailingEvents:
    """The events of a listener that failed, and not succeeded since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet.

        Args:
            clock: Seconds, monotonic.
        """
        self._clock = clock
        self._routes: defaultdict[str, _Route] = defaultdict(_Route)
        self._failing: OrderedDict[bytes, _Failing] = OrderedDict()

    def succeeded(self, event: Event, route: str) -> None:
        """An event of a route succeeded."""
        self._routes[route].succeeded += 1
        self.forget(event, route)

    def forget(self, event: Event, route: str) -> None:
        """An event will not come again."""
        if self._failing:
            self._failing.pop(_key(event, route), None)

    def failed(self, event: Event, route: str) -> int:
        """An event of a route failed; how often it has."""
        others, key = self._routes[route], _key(event, route)
        found = self._failing.get(key)
        if found is None:
            others.began_to_fail += 1
            self._failing[key] = _Failing(self._clock(), others.succeeded, others.began_to_fail)
            if len(self._failing) > _MOST:
                self._failing.popitem(last=False)
            return 1
        # Those that fail again and again count once: a hundred of them are no outage.
        succeeded = others.succeeded - found.others_succeeded
        if succeeded > others.began_to_fail - found.others_began_to_fail:
            found.alone += 1
        found.failures += 1
        found.others_succeeded = others.succeeded
        found.others_began_to_fail = others.began_to_fail
        self._failing.move_to_end(key)
        return found.failures

    def verdict(self, event: Event, route: str) -> str:
        """Why an event that failed is at fault itself; empty where it may not be."""
        found = self._failing.get(_key(event, route))
        if found is None or found.alone < FAILURES:
            return ""
        lasted = self._clock() - found.since
        if lasted < SECONDS:
            return ""
        return f"failed {found.failures} times in {format_duration(lasted)} while others succeeded"


def _key(event: Event, route: str) -> bytes:
    text = f"{route} {event_key(event)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
