"""A simulation: thousands of runners lose their server at one moment, and come back to it.

The connector and the strategies are the runner's own; only time is simulated, by an event loop
whose clock jumps to what comes next. The server takes so many connects in each tenth of a second,
and refuses what is above that.

    python -m benchmarks.herd              prints the table for docs/explanation/herds.md
    python -m benchmarks.herd FOLDER       also draws the plots there
"""

from __future__ import annotations

import asyncio
import logging
import random
import selectors
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporal_runner.errors import TransientError
from temporal_runner.retry.backoff import BUILT_IN, Backoff, Jitter, Timing
from temporal_runner.retry.connector import Connector, RetryOptions

RUNNERS = 10_000
OUTAGE = 30.0
"""Seconds."""
CAPACITY = 2000
"""Connects a second that the server takes."""
_SLOT = 0.1
_LATEST = 1800.0
"""Seconds of simulated time at most."""
_KINDS = {kind.name: kind for kind in BUILT_IN}

log = logging.getLogger("benchmarks.herd")
log.disabled = True


class _NoSelector(selectors.SelectSelector):
    """Waits for nothing: the loop's clock moves on instead."""

    advance: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout:
            self.advance(timeout)
        return []


class SimulatedTime(asyncio.SelectorEventLoop):
    """An event loop in which no time passes but the one that is waited for."""

    def __init__(self) -> None:
        selector = _NoSelector()
        super().__init__(selector)
        self._now = 0.0
        selector.advance = self._advance

    def _advance(self, seconds: float) -> None:
        self._now += seconds

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now


def strategy(
    name: str, base_delay: float, max_delay: float, jitter: Jitter, factor: float | None = None
) -> Backoff:
    """A strategy as a config would say it."""
    kind = _KINDS[name]
    assert not isinstance(kind.build, str)
    return Backoff(name, kind.build, Timing(base_delay, max_delay, factor), kind.options(), jitter)


FLEET = "exponential 2s to 7500ms, equal"
STRATEGIES = {
    "constant 1s, none": strategy("constant", 1, 1, "none"),
    "constant 1s, full": strategy("constant", 1, 1, "full"),
    "exponential 500ms to 30s, none": strategy("exponential", 0.5, 30, "none"),
    "exponential 500ms to 30s, full": strategy("exponential", 0.5, 30, "full"),
    "exponential 100ms x1.5 to 5s, full": strategy("exponential", 0.1, 5, "full", 1.5),
    "fibonacci 500ms to 30s, full": strategy("fibonacci", 0.5, 30, "full"),
    "decorrelated 500ms to 30s": strategy("decorrelated", 0.5, 30, "none"),
    FLEET: strategy("exponential", 2, 7.5, "equal"),
}


@dataclass(slots=True)
class Herd:
    """What a simulation saw.

    Attributes:
        runners: How many.
        connects: Attempts by the tenth of a second in which they were made.
        back: When each runner was back, in seconds after the server was.
        looks: How often ports were looked at (`wake_on_port`).
    """

    runners: int
    connects: Counter[int] = field(default_factory=Counter)
    back: list[float] = field(default_factory=list)
    looks: int = 0

    def a_second(self) -> list[int]:
        """Connects in each second, from the loss on."""
        last = max(self.connects, default=0)
        slots = round(1 / _SLOT)
        return [
            sum(self.connects[slot] for slot in range(first, first + slots))
            for first in range(0, last + 1, slots)
        ]

    def peak_after(self) -> float:
        """The most connects in any second after the server was back."""
        first, last = round(OUTAGE / _SLOT), max(self.connects)
        slots = round(1 / _SLOT)
        most = max(
            sum(self.connects[slot] for slot in range(start, start + slots))
            for start in range(first, last + 1)
        )
        return most * RUNNERS / self.runners

    def peak_during(self) -> float:
        """The most connects a second and runner in any second of the outage."""
        return max(self.a_second()[: round(OUTAGE)]) / self.runners

    def mostly_back(self) -> float:
        """Seconds until 99% were back."""
        return sorted(self.back)[round(len(self.back) * 0.99) - 1]


def simulate(
    backoff: Backoff, runners: int = RUNNERS, *, wake: bool = False, seed: int = 1
) -> Herd:
    """Let a herd lose its server.

    Args:
        backoff: How each of them is retried.
        runners: How many; for fewer than ten thousand the server takes as much less.
        wake: With `wake_on_port`.
        seed: Of the jitter.
    """
    random.seed(seed)
    capacity = CAPACITY * runners / RUNNERS * _SLOT
    herd = Herd(runners)
    taken: Counter[int] = Counter()
    loop = SimulatedTime()
    options = RetryOptions(backoff, wake_on_port=wake)

    async def look() -> bool:
        herd.looks += 1
        return loop.time() >= OUTAGE

    async def connect() -> None:
        now = loop.time()
        slot = int(now / _SLOT + 1e-9)
        herd.connects[slot] += 1
        if now < OUTAGE:
            raise ConnectionRefusedError
        if taken[slot] >= capacity:
            raise TransientError("too many at a time")
        taken[slot] += 1

    async def runner() -> None:
        connector = Connector("the server", options, log=log, clock=loop.time, look=look)
        await connector.call(connect)
        herd.back.append(loop.time() - OUTAGE)

    async def all_of_them() -> None:
        await asyncio.wait_for(asyncio.gather(*(runner() for _ in range(runners))), _LATEST)

    with asyncio.Runner(loop_factory=lambda: loop) as runs:
        runs.run(all_of_them())
    return herd


def table(herds: dict[str, Herd]) -> str:
    """The figures in Markdown."""
    rows = [
        (
            "| strategy | connects a second and runner in the outage, at most"
            " | connects/s after the return, at most | 99% back after |"
        ),
        "| --- | --- | --- | --- |",
    ]
    rows += [
        f"| {name} | {herd.peak_during():.2f} | {herd.peak_after():,.0f}"
        f" | {herd.mostly_back():,.1f} s |"
        for name, herd in herds.items()
    ]
    return "\n".join(rows)


def draw(herds: dict[str, Herd], folder: Path, kind: str, how: str) -> None:
    """Write KIND-connects.svg and KIND-back.svg."""
    import pygal  # type: ignore[import-untyped]
    from pygal.style import CleanStyle  # type: ignore[import-untyped]

    look = {
        "style": CleanStyle,
        "js": [],
        "width": 900,
        "height": 500,
        "show_dots": False,
        "legend_at_bottom": True,
        "legend_at_bottom_columns": 2,
        "x_title": "seconds after the loss (the server is back at 30)",
        "disable_xml_declaration": True,
    }
    seconds = list(range(60))
    connects = pygal.Line(
        title=f"Connects a second of {RUNNERS:,} runners, {how}", logarithmic=True, **look
    )
    back = pygal.Line(title=f"Runners that are back, in percent, {how}", **look)
    for chart in (connects, back):
        chart.x_labels = seconds
        chart.x_labels_major = seconds[::10]
        chart.show_minor_x_labels = False
    for name, herd in herds.items():
        scale = RUNNERS / herd.runners
        each = (*herd.a_second(), *[0] * 60)[:60]
        connects.add(name, [one * scale or None for one in each])
        after = sorted(herd.back)
        back.add(
            name,
            [
                100 * sum(moment <= second - OUTAGE for moment in after) / herd.runners
                for second in seconds
            ],
        )
    connects.render_to_file(str(folder / f"{kind}-connects.svg"))
    back.render_to_file(str(folder / f"{kind}-back.svg"))


def main(folder: Path | None) -> None:
    """Simulate every strategy without and with `wake_on_port`; print, and draw into a folder."""
    alone = {name: simulate(backoff) for name, backoff in STRATEGIES.items()}
    print(f"without wake_on_port\n\n{table(alone)}\n", flush=True)
    # Looks are many: a small part of the herd, and of the server, tell the same.
    woken = {
        name: simulate(backoff, RUNNERS // 20, wake=True) for name, backoff in STRATEGIES.items()
    }
    print(f"with wake_on_port\n\n{table(woken)}\n")
    for name, herd in woken.items():
        print(f"{name}: {herd.looks / herd.runners / OUTAGE:.1f} looks a second and runner")
    if folder is not None:
        draw(alone, folder, "herd", "without wake_on_port")
        draw(woken, folder, "woken", "with wake_on_port")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
