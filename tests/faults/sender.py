"""A sender of webhooks as a good one is: a steady rate, the same ID again until it is a 2xx.

Or a 422, by which the runner says that it will never take the event and has kept it.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from itertools import count, islice

import httpx

from tests.faults.scale import scaled

_FIRST_WAIT = 0.5
"""Seconds to the second try where there was no answer; it doubles with each."""
_LONGEST_WAIT = scaled(2.0, 8.0)
"""Seconds between two tries at most: Retry-After is an answer of the runner's, which is read, but
a test cannot wait for as long as a sender can."""


_REFUSED = 422
"""The answer to an event that is among the dead letters now."""

KNOWN = frozenset([0, 200, 202, 429, 503])
"""What a sender may be answered; 0 is nothing, by a dead runner."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a post was answered.

    Attributes:
        status: The HTTP status; 0 where there was no answer.
        at: When it came, in seconds since 1970.
        took: Seconds from the post to it.
        detail: What was said with a status that no sender should be answered.
    """

    status: int
    at: float
    took: float
    detail: str = ""


class Sender:
    """Posts events from a thread of its own.

    Attributes:
        answers: The answers to each event, in their order.
        name: What the events' IDs begin with.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        total: int | None = None,
        name: str = "event",
        data: Callable[[int], Mapping[str, object]] | None = None,
        tries_once: Callable[[int], bool] = lambda number: False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send nothing yet.

        Args:
            url: Where to.
            rate: New events a second.
            total: How many events; None goes on until `finish`.
            name: What their IDs begin with.
            data: More of an event's data, by its number.
            tries_once: Which events (by number) are given up after one try, whatever its answer.
            headers: More headers of each post.
        """
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self._url = url
        self._rate = rate
        self._total = total
        self.name = name
        self._data = data or (lambda number: {})
        self._tries_once = tries_once
        self._headers = dict(headers or {})
        self._no_more = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._no_more.set()
        self._given_up.set()
        self._thread.join()

    def finish(self, *, within: float = scaled(120.0, 400.0)) -> None:
        """Send no new events where there was no total; wait until each event is done with."""
        if self._total is None:
            self._no_more.set()
        self._thread.join(within)
        if self._thread.is_alive():
            waiting = sorted(set(self.sent) - self.acknowledged)
            raise AssertionError(
                f"{self.name}: not acknowledged within {within:g}s: {len(waiting)} of"
                f" {len(self.sent)}: {waiting[:10]}"
            )

    @property
    def sent(self) -> list[str]:
        """The events that were posted at least once."""
        return list(self.answers.copy())  # the thread goes on adding to it

    @property
    def acknowledged(self) -> set[str]:
        """Those that got a 2xx."""
        return self.answered(range(200, 300))

    def answered(self, statuses: Container[int]) -> set[str]:
        """The events that were answered so at least once."""
        return {
            event
            for event, answers in self.answers.copy().items()
            if any(answer.status in statuses for answer in list(answers))
        }

    @property
    def odd(self) -> dict[str, list[Answer]]:
        """The events that were answered what no sender should be, and all answers to each."""
        return {
            event: list(answers)
            for event, answers in self.answers.copy().items()
            if any(answer.detail for answer in list(answers))
        }

    @property
    def statuses(self) -> Counter[int]:
        """How often each status was answered."""
        return Counter(
            answer.status for answers in self.answers.copy().values() for answer in list(answers)
        )

    async def _run(self) -> None:
        async with (
            httpx.AsyncClient(timeout=20, trust_env=False, limits=httpx.Limits()) as http,
            asyncio.TaskGroup() as events,
        ):
            began = time.monotonic()
            for number in islice(count(), self._total):
                await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                if self._no_more.is_set():
                    return
                events.create_task(self._send(http, number))

    async def _send(self, http: httpx.AsyncClient, number: int) -> None:
        event = f"{self.name}-{number:05}"
        content = {"key": event, **self._data(number)}
        for tries in count():
            wait = await self._post(http, event, content)
            if wait is None or self._tries_once(number) or self._given_up.is_set():
                return
            longest = min(wait * 2**tries, _LONGEST_WAIT)
            await asyncio.sleep(longest * random.uniform(0.5, 1))

    async def _post(
        self, http: httpx.AsyncClient, event: str, content: Mapping[str, object]
    ) -> float | None:
        """One try; the seconds to the next one, None where there is none."""
        headers = {"X-Event-Id": event, **self._headers}
        began = time.monotonic()
        try:
            answer = await http.post(self._url, json=content, headers=headers)
        except httpx.HTTPError:
            self.answers[event].append(Answer(0, time.time(), time.monotonic() - began))
            return _FIRST_WAIT
        took, status = time.monotonic() - began, answer.status_code
        detail = "" if status in KNOWN else answer.text
        self.answers[event].append(Answer(status, time.time(), took, detail))
        if status in (429, 503):
            return float(answer.headers["retry-after"])
        return None if 200 <= status < 300 or status == _REFUSED else _FIRST_WAIT
