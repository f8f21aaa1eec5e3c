"""An expression cannot be made to stop the runner by what a sender puts into an event."""

from __future__ import annotations

import time
from typing import Any

import pytest

from temporal_runner.events.event import Event
from temporal_runner.routing.expression_cost import Cost, Weight, cost_of, weigh
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope


@pytest.mark.parametrize(
    ("source", "loops", "lookups"),
    [
        ("event.data.a == 1", 0, 0),
        ("event.data.a + event.data.b", 0, 0),
        ("event.data.l.all(x, x.ok)", 1, 0),
        ("event.data.l.exists(x, x in [1, 2])", 1, 0),
        ("event.data.l.map(x, x.id)", 2, 0),
        ("event.data.l.filter(x, x > 1).map(y, y)", 2, 0),
        ("event.data.l.all(x, x == event.data.n)", 1, 1),
        ("event.data.l.all(x, x in event.data.m)", 1, 1),
        ("event.data.l.all(x, event.data.m.exists(y, y == x))", 2, 1),
        ("event.data.l.all(x, x.m.exists(y, y.ok))", 1, 0),
        ("event.data.l.all(x, x.m.exists(y, x.m.exists(z, y == z)))", 2, 1),
        ("event.data.l.map(x, event.data.l + event.data.l)", 2, 2),
        ("event.data.l.map(x, x.m.map(y, y))", 2, 0),
        ("event.data.l.map(x, event.data.l.map(y, y))", 4, 2),
        ('["a", "b"].exists(t, t == event.type)', 0, 0),
        ("[event.data.l].exists(t, t == event.type)", 1, 1),
        ("(event.data.l).map(x, x)", 2, 0),
        ("event.data.l.all(event, event.ok)", 1, 0),
        ("[1].all(event, event == 1) && event.data.l.all(x, event.id == x)", 1, 1),
        ("size(event.data.l.map(x, x)) > 1 && event.data.a", 2, 0),
    ],
)
def test_how_the_work_grows(source: str, loops: int, lookups: int) -> None:
    """Loops in loops, and what is looked up in them."""
    assert cost_of(source) == Cost(loops, lookups)


def test_weight() -> None:
    """The longest list, and all there is."""
    assert weigh({"a": [1, 2, 3], "b": "x" * 25}) == Weight(3, 25, 8)


BIG = {
    "l": list(range(5000)),
    "s": "a" * 500_000,
    "n": 10**12,
    "texts": ["a"] * 100,
    "nested": [[1] * 300] * 300,
}


@pytest.mark.parametrize(
    "source",
    [
        'event.data.s.replace("a", event.data.s)',
        "event.data.texts.join(event.data.s)",
        "lists.range(event.data.n)",
        "event.data.l.distinct()",
        "sets.contains(event.data.l, event.data.l)",
        "sets.equivalent(event.data.l, event.data.l)",
        "sets.intersects(event.data.l, event.data.l)",
        "event.data.nested.flatten().map(x, x)",
    ],
)
def test_functions_are_bounded(source: str) -> None:
    """What would fill the memory, or compare each with each."""
    event = Event(id="1", source="s", type="t", data=BIG)
    with pytest.raises(ExpressionError, match="too much work for one event"):
        Expression(source).evaluate(Scope(event))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('"a-b-c".replace("-", "--")', "a--b--c"),
        ('["a", "b"].join(", ")', "a, b"),
        ("lists.range(3)", [0, 1, 2]),
        ("[1, 1, 2].distinct()", [1, 2]),
        ("sets.contains([1, 2], [2])", True),
    ],
)
def test_bounded_functions_do_their_work(source: str, value: Any) -> None:
    """As before, for what is not too much."""
    assert Expression(source).evaluate(Scope(Event(id="1", source="s", type="t"))) == value


NUMBERS = {"l": list(range(100_000)), "s": "a" * 500_000}
TEXTS = {"l": [{"id": str(n), "m": [1, 2]} for n in range(20_000)], "s": ""}


@pytest.mark.parametrize("data", [NUMBERS, TEXTS], ids=["numbers", "objects"])
@pytest.mark.parametrize(
    "source",
    [
        "event.data.l.filter(x, x == 1).size() > 0",
        "event.data.l.map(x, x)",
        "event.data.l.all(x, x in event.data.l)",
        "event.data.l.exists(x, event.data.l.exists(y, y == x) && false)",
        "event.data.l.map(x, event.data.l + event.data.l)",
        "event.data.l.all(x, event.data.s.contains('b') || true)",
        "event.data.l.map(x, x).size() > 0 && event.data.s.split('').filter(c, c == 'b') == []",
        "event.data.l.all(x, size(event.data.l) > 0)",
        "event . data . l . all ( x , x in event . data . l )",
        "event.data.l.all(x, [event].exists(e, e.data.l == 1) || true)",
    ],
)
def test_a_large_event_does_not_stop_the_runner(source: str, data: dict[str, Any]) -> None:
    """What would take minutes is refused at once, and says why."""
    expression = Expression(source)
    began = time.thread_time()
    with pytest.raises(ExpressionError, match="too much work for one event"):
        expression.evaluate(Scope(Event(id="1", source="s", type="t", data=data)))
    assert time.thread_time() - began < 2


@pytest.mark.parametrize(
    "source",
    [
        "event.data.l.all(x, x >= 0)",
        "event.data.l.exists(x, x == -1) == false",
        '["a", "b"].exists(t, t == "b" && event.data.l.size() > 5)',
        "event.data.name.split('.').map(x, x).size() == 2",
        "event.data.few.all(x, x in event.data.few)",
        "event.data.few.map(x, x * 2).size() > 1",
    ],
)
def test_work_that_grows_with_the_event_alone_is_done(source: str) -> None:
    """A long list is no reason to refuse a plain look at each entry, or at others."""
    data = {**NUMBERS, "few": list(range(500)), "name": "a.pdf"}
    event = Event(id="1", source="s", type="t", data=data)
    assert Expression(source).evaluate(Scope(event)) is True
