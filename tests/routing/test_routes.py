"""Event to action: the first route that wants it, every expression resolved, no network."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from pydantic import TypeAdapter

from temporal_runner.config.routes import RouteSection
from temporal_runner.events.event import Event
from temporal_runner.events.identity import (
    LONGEST_KEY,
    action_key,
    bounded_key,
    derived_id,
    event_key,
)
from temporal_runner.routing.actions import (
    Signal,
    SignalWithStart,
    Start,
    StartActivity,
    Update,
    UpdateWithStart,
)
from temporal_runner.routing.compile import RouteProblem, compile_route
from temporal_runner.routing.routes import Route, route

SECTION: TypeAdapter[Any] = TypeAdapter(RouteSection)


def compiled_route(
    section: dict[str, Any], index: int = 0, task_queue: str | None = "q"
) -> Route | list[RouteProblem]:
    settings = SECTION.validate_json(json.dumps(section))
    return compile_route(settings, index, listener="shop", connection="", task_queue=task_queue)


def routes(*sections: dict[str, Any]) -> list[Route]:
    """Compiled routes of a listener called `shop`."""
    compiled = [compiled_route(section, index) for index, section in enumerate(sections)]
    sound = [one for one in compiled if isinstance(one, Route)]
    assert sound == compiled
    return sound


def event(**attributes: Any) -> Event:
    return Event(**{"id": "e-1", "source": "/s", "type": "order", "data": {"n": 1}, **attributes})


def start(workflow: str, **more: Any) -> dict[str, Any]:
    return {"start": workflow, "task_queue": "q", **more}


def test_the_first_match_wins() -> None:
    """Routes are tried in order; those after the one that is taken are not asked."""
    table = routes(
        start("Never", when="event.type == 'other'"),
        start("First", when="event.data.n == 1"),
        start("Second"),
    )
    decision = route(table, event())
    assert decision.action is not None
    assert decision.action.name == "First"
    assert [(verdict.route, verdict.matched) for verdict in decision.verdicts] == [
        ("routes[0] start Never", False),
        ("routes[1] start First", True),
    ]
    assert decision.errors == []


def test_no_route_wants_it() -> None:
    """An event that matches nothing has no action and no error."""
    decision = route(routes(start("X", when="false")), event())
    assert decision.action is None
    assert decision.errors == []


def test_a_filter_that_fails_is_reported_and_the_others_are_tried() -> None:
    """A filter that cannot be evaluated is neither true nor silently false."""
    table = routes(
        start("A", when="event.data.missing == 1"),
        start("B", when="event.data.n"),
        start("C", when="event.data.n == 1"),
    )
    decision = route(table, event())
    assert decision.action is not None
    assert decision.action.name == "C"
    assert decision.errors == [
        "routes[0] start A: when: event.data.missing == 1: the event has no 'missing' there",
        "routes[1] start B: when: event.data.n: is a whole number, not true or false",
    ]


def test_an_action_that_fails_ends_the_search() -> None:
    """An event whose route cannot say what to do is not handed to a route further down."""
    table = routes(start("A", args=["${{ event.data.missing }}"]), start("B"))
    decision = route(table, event())
    assert decision.action is None
    assert decision.errors == [
        "routes[0] start A: event.data.missing: the event has no 'missing' there"
    ]


def test_a_filter_may_stand_in_braces() -> None:
    """`when: ${{ … }}` is the same as without the braces."""
    assert route(routes(start("A", when=" ${{ event.data.n == 1 }} ")), event()).action


# IDs. ---------------------------------------------------------------------------------------------


def test_ids_derive_from_the_event() -> None:
    """The same event gives the same ID; another source, ID or listener gives another."""
    ids = [
        derived_id("shop", event()),
        derived_id("shop", event(source="/other")),
        derived_id("shop", event(id="e-2")),
        derived_id("other", event()),
    ]
    assert len(set(ids)) == 4
    assert derived_id("shop", event(data="else", subject="else", type="else")) == ids[0]
    assert ids[0].startswith("shop-e-1-")
    action = route(routes(start("A")), event()).action
    assert action is not None
    assert action.id == ids[0]


@pytest.mark.parametrize("unit", ["x", "é", "漢", "🎉", "e\u0301"])
def test_long_ids_stay_different_and_short(unit: str) -> None:
    """An event ID of any length gives an ID that Temporal takes, and no two give the same."""
    long = unit * 5000
    first = derived_id("shop", event(id=long + "1"))
    second = derived_id("shop", event(id=long + "2"))
    third = derived_id("shop", event(id=long + "1", source="/other"))
    assert len({first, second, third}) == 3
    assert first.startswith(f"shop-{unit}")
    for key in (
        first,
        derived_id("l" * 900, event(id=long)),
        event_key(event(id=long, source=long)),
        action_key(event(id=long, source=long), long, "signal", long, long),
    ):
        assert len(key.encode()) <= LONGEST_KEY


def test_keys_do_not_run_into_one_another() -> None:
    """No part can be made to look like another's end or beginning."""
    assert event_key(event(id="a-b", source="c")) != event_key(event(id="a", source="b-c"))
    one, other = event(id="\0" + "x" * 300, source="a"), event(id="x" * 300, source="a\0")
    assert derived_id("shop", one) != derived_id("shop", other)
    assert derived_id("shop", event(id="vip-E")) != derived_id("shop-vip", event(id="E"))
    parts = ["a", "a-", "-a", "a-a", "1:a", ""]
    keys = [
        action_key(event(id=id_ or "?", source=source or "?"), listener, kind, name, target)
        for listener, kind, name, target, source, id_ in product(parts, repeat=6)
    ]
    assert len(set(keys)) == len(parts) ** 6


def test_keys_are_texts_that_every_database_takes() -> None:
    """What some refuse is not in a key, and yet two events that differ in it have two keys."""
    ids = ["a", "a\0", "a\x01", "a\n", "a\x7f", "a\x85", "\ud800", "\udfff", "a_"]
    for key in (
        event_key,
        lambda one: derived_id("shop", one),
        lambda one: action_key(one, "shop", "signal", "go", "w"),
    ):
        keys = [key(event(id=id_)) for id_ in ids]
        assert len(set(keys)) == len(ids)
        assert all(text.isprintable() and text.encode() for text in keys)


@pytest.mark.parametrize("text", ["k" * 64, "é" * 32, "", "a b"])
def test_a_bounded_key_is_the_text_itself_where_that_will_do(text: str) -> None:
    """Up to the limit, in bytes."""
    assert bounded_key(text, 64) == text


@pytest.mark.parametrize("text", ["k" * 65, "é" * 33, "a\0", "\ud800", "🎉" * 1000])
def test_a_bounded_key_is_a_digest_where_it_will_not(text: str) -> None:
    """Above the limit, and where it cannot be written; no two are the same."""
    key = bounded_key(text, 64)
    assert len(key.encode()) <= 64
    assert key not in {text, bounded_key(text + "x", 64)}
    assert key == bounded_key(text, 64)


@pytest.mark.parametrize(
    ("written", "found"),
    [("order-${{ event.data.n }}", "order-1"), ("${{ event.data.n }}", "1"), ("fixed", "fixed")],
)
def test_ids_that_a_route_gives(written: str, found: str) -> None:
    """An ID may be a text with expressions in it, or a number."""
    action = route(routes(start("A", id=written)), event()).action
    assert action is not None
    assert action.id == found


@pytest.mark.parametrize("value", [None, "", True, 1.5, {"a": 1}, ["x"]])
def test_what_is_no_id(value: object) -> None:
    """An ID that resolves to nothing usable is an error and no workflow called None."""
    decision = route(routes(start("A", id="${{ event.data }}")), event(data=value))
    assert decision.action is None
    assert "which is no ID" in decision.errors[0]


def test_ids_that_are_too_long() -> None:
    """An ID over Temporal's limit is an error here and no endless retry there."""
    decision = route(routes(start("A", id="${{ event.data }}")), event(data="x" * 1001))
    (error,) = decision.errors
    assert error.startswith(
        "routes[0] start A: id: ${{ event.data }} gives an ID that has 1001 bytes"
    )


# The six actions. ---------------------------------------------------------------------------------

ARGS = ["${{ event.data }}", 5]


def test_start() -> None:
    """A start has its arguments, memo, search attributes and priority resolved."""
    section = start(
        "Order",
        args=ARGS,
        memo={"n": "${{ event.data.n }}"},
        search_attributes={
            "Customer": "c-${{ event.data.n }}",
            "Amount": {"type": "Double", "value": "${{ event.data.n }}"},
        },
        priority={"priority_key": 1, "fairness_key": "t-${{ event.data.n }}"},
        on_duplicate={"signal": "again", "args": ["${{ event.id }}"]},
    )
    action = route(routes(section), event()).action
    assert isinstance(action, Start)
    assert (action.kind, action.name, action.listener) == ("start", "Order", "shop")
    assert action.start.options.workflow == "Order"
    assert action.start.options.task_queue == "q"
    assert action.start.args == [{"n": 1}, 5]
    assert action.start.memo == {"n": 1}
    assert action.start.search_attributes == {
        "Customer": ("Keyword", "c-1"),
        "Amount": ("Double", 1.0),
    }
    assert action.start.fairness_key == "t-1"
    assert action.duplicate_args == ["e-1"]


@pytest.mark.parametrize(("kind", "made"), [("signal", Signal), ("update", Update)])
def test_signal_and_update(kind: str, made: type[Signal | Update]) -> None:
    """A signal or an update goes to a workflow that runs, and starts none."""
    action = route(routes({kind: "go", "id": "w", "args": ARGS}), event()).action
    assert isinstance(action, made)
    assert (action.kind, action.name, action.id) == (kind, "go", "w")
    assert action.args == [{"n": 1}, 5]
    assert not hasattr(action, "start")


@pytest.mark.parametrize(
    ("kind", "made"),
    [("signal_with_start", SignalWithStart), ("update_with_start", UpdateWithStart)],
)
def test_with_start(kind: str, made: type[SignalWithStart | UpdateWithStart]) -> None:
    """With start, `args` belong to the signal or update and `start_args` to the workflow."""
    section = {kind: "go", "id": "w", "workflow": "Order", "task_queue": "q", "args": ARGS,
               "start_args": ["${{ event.id }}"]}  # fmt: skip
    action = route(routes(section), event()).action
    assert isinstance(action, made)
    assert (action.kind, action.name, action.id) == (kind, "go", "w")
    assert action.args == [{"n": 1}, 5]
    assert action.start.options.workflow == "Order"
    assert action.start.args == ["e-1"]


def test_start_activity() -> None:
    """A standalone activity has its ID derived like a workflow's."""
    section = {"start_activity": "ship", "task_queue": "q", "start_to_close_timeout": "5s",
               "args": ARGS}  # fmt: skip
    action = route(routes(section), event()).action
    assert isinstance(action, StartActivity)
    assert (action.kind, action.name) == ("start_activity", "ship")
    assert action.settings.task_queue == "q"
    assert action.id == derived_id("shop", event())
    assert action.args == [{"n": 1}, 5]


def test_two_events_share_what_is_of_their_route() -> None:
    """How a route starts its workflows is one object, by which its first request is remembered."""
    (one,) = routes(start("A"))
    first, second = route([one], event()).action, route([one], event(id="e-2")).action
    assert isinstance(first, Start)
    assert isinstance(second, Start)
    assert first.start.options is second.start.options
    (other,) = routes(start("A"))
    again = route([other], event()).action
    assert isinstance(again, Start)
    assert again.start.options != first.start.options


def test_a_route_without_its_queue_is_none() -> None:
    """Where the task queue is not known there is no route, though nothing is wrong in it."""
    section = {"start": "A", "args": ["${{ event.data }}"]}
    assert compiled_route(section, task_queue=None) == []
    wrong = compiled_route(section | {"args": ["${{ y }}"]}, task_queue=None)
    assert isinstance(wrong, list)
    assert [problem.loc for problem in wrong] == [("args", 0)]


def test_every_wrong_expression_of_a_route_is_found() -> None:
    """Compiling a route goes on after an error, so that all are reported at once."""
    section = start("A", when="x", id="${{ y }}", args=["ok", "${{ z }}"], memo={"m": "${{ w }}"})
    wrong = compiled_route(section)
    assert isinstance(wrong, list)
    assert [(problem.loc, problem.message.split(";")[0]) for problem in wrong] == [
        (("when",), "unknown name 'x'"),
        (("id",), "unknown name 'y'"),
        (("args", 1), "unknown name 'z'"),
        (("memo", "m"), "unknown name 'w'"),
    ]
