"""What a benchmark is, how its contenders take turns, and what is made of the figures.

A ratio is taken round by round, runner over baseline, and its median is what a bar is held
against: what disturbs the machine for a while disturbs both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

Figures = Mapping[str, float]
Contenders = Mapping[str, Callable[[], Figures]]
"""By name; one call is one round's turn."""
BASELINE, RUNNER = "baseline", "runner"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: Turns of each contender.
        seconds: How long one turn of a load takes.
        short: For CI: fewer and smaller everywhere.
    """

    rounds: int
    seconds: float
    short: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach.

    Attributes:
        figure: Its name among the contenders' figures.
        least: The ratio (or the runner's own figure) is at least this.
        most: It is at most this.
        absolute: The runner's own figure is held against it, not the ratio.
        at: Which value of all rounds is taken: the median, or 0.99 for the p99.
        tolerance: In the short form the bar is this much lower: few rounds on a busy machine. None
            is no bar at all then, where a busy machine alone decides.
    """

    figure: str
    least: float | None = None
    most: float | None = None
    absolute: bool = False
    at: float = 0.5
    tolerance: float | None = 0.4

    def holds(self, value: float, *, short: bool) -> bool:
        """Whether a value is on the right side."""
        if short and self.tolerance is None:
            return True
        slack = 1 + self.tolerance if short and self.tolerance else 1.0
        if self.least is not None and value < self.least / slack:
            return False
        return self.most is None or value <= self.most * slack

    def __str__(self) -> str:
        bar = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        return bar if self.at == 0.5 else f"{bar} at p{self.at * 100:g}"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One comparison.

    Attributes:
        name: What `-k` picks by.
        title: What is measured against what.
        prepare: Makes the contenders ready for an effort, and clears up after them.
        bars: What is to be reached.
        rounds: Turns of each contender, where they are not the effort's: (full, short).
        in_short: It is part of the short form.
    """

    name: str
    title: str
    prepare: Callable[[Effort], AbstractContextManager[Contenders]]
    bars: Sequence[Bar]
    rounds: tuple[int, int] | None = None
    in_short: bool = True


@dataclass(slots=True)
class Result:
    """What was measured.

    Attributes:
        benchmark: Of which one.
        short: By the short form.
        rounds: The figures of each contender, round by round.
    """

    benchmark: Benchmark
    short: bool
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    def figures(self) -> list[str]:
        """The names of what was measured."""
        return list(self.rounds[RUNNER][0])

    def values(self, contender: str, figure: str) -> list[float]:
        """One figure of one contender, round by round."""
        return [one[figure] for one in self.rounds.get(contender, ()) if figure in one]

    def ratios(self, figure: str) -> list[float]:
        """Runner over baseline, round by round."""
        pairs = zip(self.values(RUNNER, figure), self.values(BASELINE, figure), strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    def judged(self, bar: Bar) -> float:
        """The value that is held against a bar."""
        values = self.values(RUNNER, bar.figure) if bar.absolute else self.ratios(bar.figure)
        if bar.at == 0.5:
            return statistics.median(values)
        return sorted(values)[min(len(values) - 1, int(len(values) * bar.at))]

    def missed(self) -> list[Bar]:
        """The bars that were not reached."""
        bars = self.benchmark.bars
        return [bar for bar in bars if not bar.holds(self.judged(bar), short=self.short)]

    def as_json(self) -> dict[str, Any]:
        """All of it, the raw figures included."""
        return {
            "name": self.benchmark.name,
            "title": self.benchmark.title,
            "short": self.short,
            "figures": {
                figure: {
                    **{
                        who: _summary(self.values(who, figure))
                        for who in self.rounds
                        if self.values(who, figure)
                    },
                    **({"ratio": _summary(ratios)} if (ratios := self.ratios(figure)) else {}),
                }
                for figure in self.figures()
            },
            "bars": [
                {
                    "figure": bar.figure,
                    "of": "runner" if bar.absolute else "ratio",
                    "bar": str(bar),
                    "value": self.judged(bar),
                    "reached": bar.holds(self.judged(bar), short=self.short),
                }
                for bar in self.benchmark.bars
            ],
        }

    def lines(self) -> Iterator[str]:
        """A table for people."""
        yield f"\n{self.benchmark.name}: {self.benchmark.title}"
        yield f"  {'':<22}{'baseline':>12}{'runner':>12}{'ratio':>9}   spread         bar"
        for figure in self.figures():
            ratios = self.ratios(figure)
            theirs, ours = self.values(BASELINE, figure), self.values(RUNNER, figure)
            line = f"  {figure:<22}{_median(theirs):>12}{_median(ours):>12}"
            line += f"{statistics.median(ratios):>9.2f}" if ratios else f"{'':>9}"
            spread = ratios or ours
            line += f"   {f'{min(spread):.3g} to {max(spread):.3g}':<15}"
            for bar in self.benchmark.bars:
                if bar.figure == figure:
                    reached = bar.holds(self.judged(bar), short=self.short)
                    line += f"{bar}{'' if reached else '  MISSED'} "
            yield line.rstrip()


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.4g}" if values else ""


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "rounds": list(values),
    }


def run(benchmark: Benchmark, effort: Effort) -> Result:
    """Let the contenders take turns; who begins changes from round to round."""
    result = Result(benchmark, effort.short)
    rounds = effort.rounds
    if benchmark.rounds is not None:
        rounds = benchmark.rounds[effort.short]
    with benchmark.prepare(effort) as contenders:
        for turn in range(rounds):
            order = list(contenders)
            for name in order if turn % 2 == 0 else reversed(order):
                result.rounds.setdefault(name, []).append(contenders[name]())
    return result
