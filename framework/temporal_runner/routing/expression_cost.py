"""How much work an expression makes of one event: counted before it runs, since nothing stops it.

The events are a sender's, and the event loop is everybody's. In the CEL library `map` and `filter`
copy what they have for each entry, and a name inside a loop copies what it stands for: a body of
60 KB, a list of 30,000 numbers, made `event.data.l.filter(x, x == 1)` stop a runner for a minute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_LOOPS = {"all": 1, "exists": 1, "exists_one": 1, "map": 2, "filter": 2}
"""By which power of a list's length a loop over it takes its time."""
_MARK = re.compile(
    r"\.\s*(?P<loop>map|filter|exists_one|exists|all)\s*\(\s*(?P<variable>[A-Za-z_]\w*)\s*,"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?<![\w.])(?P<name>[A-Za-z_]\w*)"
)
_LISTS = re.compile(r"\.\s*(?:split|flatten)\s*\(")
_OPERAND = re.compile(r"[\w)\]}]\s*$")
_MOST = 1_000_000
"""Steps; that many take about a second at most."""
_STEPS_OF_A_COPY = 4
"""Of the copies that `map` and `filter` make, so many are a step."""
_CHARACTERS_A_VALUE = 10
"""So many characters of a text are a step."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How large what an expression sees of an event is.

    Attributes:
        longest: The entries of its longest list or object.
        text: The characters of its longest text.
        all: All values in it, long texts counted as several.
    """

    longest: int
    text: int
    all: int


@dataclass(frozen=True, slots=True)
class Cost:
    """How an expression's work grows with the event.

    Attributes:
        loops: The power of the longest list's length that its loops take.
        lookups: The power at which names inside loops copy what they stand for.
        makes_lists: It makes longer lists, of texts or of lists in lists.
    """

    loops: int = 0
    lookups: int = 0
    makes_lists: bool = False

    @property
    def grows(self) -> bool:
        """Faster than the event does: then the event's weight has to be looked at."""
        return self.loops > 1 or self.lookups > 0

    def is_too_much(self, weight: Weight) -> bool:
        """Whether an event of this weight is too much work."""
        longest = max(weight.longest, 1)
        if self.makes_lists:
            longest = max(longest, weight.text, weight.all)
        copies = int(longest**self.loops) // _STEPS_OF_A_COPY
        return bool(max(copies, weight.all * longest**self.lookups) > _MOST)


@dataclass(slots=True)
class _Bracket:
    """An open bracket.

    Attributes:
        constant: It is a list or an object written down in the expression, with no name in it.
        loop: The powers of the loop whose body it is.
        variable: What the loop calls an entry.
        hidden: The level of the variable of that name outside.
        outermost: The lowest level of the names in it.
    """

    constant: bool
    loop: int = 0
    variable: str = ""
    hidden: int | None = None
    outermost: int | None = None


def cost_of(source: str) -> Cost:
    """How the work of a CEL expression grows; its texts are blanks by now."""
    level = loops = lookups = 0
    levels: dict[str, int | None] = {"event": 0}
    brackets = [_Bracket(False)]
    closed_constant = False
    for mark in _MARK.finditer(source):
        around = brackets[-1]
        if mark["loop"]:
            power = 0 if closed_constant else _LOOPS[mark["loop"]]
            outermost = level if around.outermost is None else around.outermost
            loops = max(loops, level - outermost + power)
            level += power
            variable = mark["variable"]
            brackets.append(_Bracket(False, power, variable, levels.get(variable)))
            levels[variable] = level
        elif mark["open"]:
            brackets.append(_Bracket(not _OPERAND.search(source, 0, mark.start())))
        elif mark["close"] and len(brackets) > 1:
            closed = brackets.pop()
            level -= closed.loop
            if closed.variable:
                levels[closed.variable] = closed.hidden
            closed_constant = closed.constant and mark["close"] != ")"
            _take_in(brackets[-1], closed.outermost)
            continue
        elif (found := levels.get(mark["name"] or "")) is not None:
            lookups = max(lookups, level - found)
            for bracket in brackets:
                bracket.constant = False
            _take_in(around, found)
        closed_constant = False
    return Cost(loops, lookups, _LISTS.search(source) is not None)


def _take_in(bracket: _Bracket, level: int | None) -> None:
    if level is not None:
        bracket.outermost = level if bracket.outermost is None else min(bracket.outermost, level)


def weigh(value: Any) -> Weight:
    """The weight of a value."""
    longest = text = everything = 0
    pending = [value]
    while pending:
        one = pending.pop()
        everything += 1
        if isinstance(one, dict | list):
            longest = max(longest, len(one))
            pending += one.values() if isinstance(one, dict) else one
        elif isinstance(one, str):
            text = max(text, len(one))
            everything += len(one) // _CHARACTERS_A_VALUE
    return Weight(longest, text, everything)


# Functions whose result, or work, grows faster than what they are given. --------------------------


def _replaced(text: str, old: str, new: str, *_: Any) -> int:
    return len(text) + text.count(old) * len(new)


def _joined(texts: Sequence[str], separator: str = "") -> int:
    return sum(map(len, texts)) + len(texts) * len(separator)


def _compared(*lists: Sequence[Any]) -> int:
    return len(lists[0]) * len(lists[-1])


_LONGEST_TEXT = 10_000_000
_LONGEST_RANGE = 1000
_MOST_COMPARED = 5_000_000
_LIMITS: dict[str, tuple[Callable[..., int], int]] = {
    "replace": (_replaced, _LONGEST_TEXT),
    "join": (_joined, _LONGEST_TEXT),
    "lists.range": (int, _LONGEST_RANGE),
    "distinct": (_compared, _MOST_COMPARED),
    "sets.contains": (_compared, _MOST_COMPARED),
    "sets.equivalent": (_compared, _MOST_COMPARED),
    "sets.intersects": (_compared, _MOST_COMPARED),
}


def limit(name: str, args: Sequence[Any]) -> None:
    """Refuse what would be too much work for the CEL function of a name.

    Raises:
        ValueError: It would be.
    """
    if name in _LIMITS:
        size, most = _LIMITS[name]
        if size(*args) > most:
            raise ValueError(f"{name}: too much work for one event")
