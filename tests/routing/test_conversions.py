"""A route's values as Temporal takes them: converted where there is one reading, else refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter

from temporal_runner.config.routes import RouteSection
from temporal_runner.events.event import Event
from temporal_runner.routing.actions import Start, StartActivity
from temporal_runner.routing.compile import RouteProblem, compile_route
from temporal_runner.routing.conversions import fairness_key, search_attribute, workflow_id
from temporal_runner.routing.explain import outline
from temporal_runner.routing.expressions import ExpressionError
from temporal_runner.routing.routes import Decision, Route, route

SECTION: TypeAdapter[Any] = TypeAdapter(RouteSection)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ELSEWHERE = timezone(timedelta(hours=2))


def compiled(section: dict[str, Any]) -> Route | list[RouteProblem]:
    settings = SECTION.validate_json(json.dumps(section))
    return compile_route(settings, 0, listener="shop", connection="", task_queue="q")


def decided(section: dict[str, Any], data: Any) -> Decision:
    one = compiled({"start": "A", "task_queue": "q", **section})
    assert isinstance(one, Route), one
    return route([one], Event(id="e", source="/s", type="t", data=data))


@pytest.mark.parametrize(
    ("declared", "value", "converted"),
    [
        ("Keyword", "a", "a"),
        ("Keyword", "", ""),
        ("Keyword", "two\nlines", "two\nlines"),
        ("Keyword", 42, "42"),
        ("Keyword", -(10**30), "-1" + "0" * 30),
        ("Keyword", 9.5, "9.5"),
        ("Keyword", True, "true"),
        ("Keyword", NOON, "2026-01-31T12:00:00+00:00"),
        ("Text", 42, "42"),
        ("Int", 42, 42),
        ("Int", 42.0, 42),
        ("Int", "42", 42),
        ("Int", "-42", -42),
        ("Int", "0", 0),
        ("Int", -0.0, 0),
        ("Int", 2**63 - 1, 2**63 - 1),
        ("Int", "-9223372036854775808", -(2**63)),
        ("Double", 42, 42.0),
        ("Double", 2**60, 2.0**60),
        ("Double", 9.5, 9.5),
        ("Double", "9.5", 9.5),
        ("Double", "1e3", 1000.0),
        ("Bool", True, True),
        ("Bool", "false", False),
        ("Datetime", "2026-01-31T12:00:00Z", NOON),
        ("Datetime", "2026-01-31t14:00:00+02:00", NOON),
        ("Datetime", 1769860800, NOON),
        ("Datetime", 1769860800.5, NOON + timedelta(seconds=0.5)),
        ("Datetime", 0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("Datetime", -1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("Datetime", NOON.astimezone(ELSEWHERE), NOON),
        ("KeywordList", ["a", 1, True], ["a", "1", "true"]),
        ("KeywordList", [], []),
        (None, "a", "a"),
        (None, 42, 42),
        (None, 42.5, 42.5),
        (None, True, True),
        (None, NOON, NOON),
        (None, ["a", 1], ["a", "1"]),
    ],
)
def test_what_has_one_reading_is_converted(declared: Any, value: Any, converted: Any) -> None:
    """To the type that the config declares, else to that of the value."""
    kind, found = search_attribute("A", declared, value)
    assert (found, type(found)) == (converted, type(converted))
    assert kind == declared or declared is None


REFUSED = [
    ("Keyword", 42.0, "a decimal number", "string(int("),
    ("Keyword", 1e16, "a decimal number", "string(int("),
    ("Keyword", -0.0, "a decimal number", "string(int("),
    ("Keyword", 1e-7, "a decimal number", "string(int("),
    ("Keyword", float("nan"), "a decimal number", "string(int("),
    ("Keyword", {"a": 1}, "an object", "name the value in it"),
    ("Keyword", ["a"], "a list", "name the value in it"),
    ("Keyword", b"a", "bytes", "name the value in it"),
    ("Keyword", timedelta(1), "a duration", "name the value in it"),
    ("Keyword", "a\0", "a text", "refused by databases"),
    ("Text", "\ud800", "a text", "refused by databases"),
    pytest.param("Keyword", 10**5000, "a whole number", "more than a thousand digits", id="long"),
    ("Int", 42.5, "a decimal number", "int(event"),
    ("Int", 1e16, "a decimal number", "int(event"),
    ("Int", float("inf"), "a decimal number", "int(event"),
    ("Int", "042", "a text", "whole number"),
    ("Int", "\uff14\uff12", "a text", "whole number"),
    ("Int", " 42", "a text", "whole number"),
    ("Int", "42\n", "a text", "whole number"),
    ("Int", "4_2", "a text", "whole number"),
    ("Int", "9" * 5000, "a text", "whole number"),
    ("Int", True, "true or false", "? 1 : 0"),
    ("Int", 2**63, "a whole number", "64 bits"),
    ("Int", "9223372036854775808", "a text", "64 bits"),
    ("Double", 2**53 + 1, "a whole number", "lose digits"),
    ("Double", 10**400, "a whole number", "lose digits"),
    ("Double", True, "true or false", "? 1.0 : 0.0"),
    ("Double", "1e400", "a text", "finite"),
    ("Double", "nan", "a text", "12.5"),
    ("Double", "1,5", "a text", "12.5"),
    ("Double", float("inf"), "a decimal number", "finite"),
    ("Bool", 1, "a whole number", "a comparison"),
    ("Bool", "yes", "a text", "a comparison"),
    ("Bool", "True", "a text", "a comparison"),
    ("Datetime", "2026-01-31T12:00:00", "a text", "zone"),
    ("Datetime", "2026-01-31", "a text", "zone"),
    ("Datetime", "31.1.2026", "a text", "zone"),
    ("Datetime", "1769860800", "a text", "as a number"),
    ("Datetime", "2026-02-30T12:00:00Z", "a text", "zone"),
    ("Datetime", datetime(2026, 1, 31), "a timestamp", "a time such as"),
    ("Datetime", 1769860800000, "a whole number", "milliseconds"),
    ("Datetime", -99_999_999_999, "a whole number", "calendar"),
    ("Datetime", float("nan"), "a decimal number", "milliseconds"),
    ("Datetime", True, "true or false", "a time such as"),
    ("KeywordList", "a,b", "a text", "[event.data.tag]"),
    ("KeywordList", [["a"]], "a list", "items"),
    ("KeywordList", [None], "a list", "name the value"),
    ("KeywordList", [1.0], "a list", "string(int("),
    (None, {"type": "Keyword", "value": "x"}, "an object", "name the value"),
    (None, {"type": "Nonsense", "value": "x"}, "an object", "name the value"),
    (None, b"a", "bytes", "name the value"),
    (None, 2**63, "a whole number", "64 bits"),
    (None, float("inf"), "a decimal number", "finite"),
]


@pytest.mark.parametrize(("declared", "value", "kind", "next_step"), REFUSED)
def test_what_has_several_or_none_is_refused(
    declared: Any, value: Any, kind: str, next_step: str
) -> None:
    """With the attribute, what the value is, and what to write instead; in one line, and short."""
    with pytest.raises(ExpressionError) as error:
        search_attribute("Customer", declared, value)
    text = str(error.value)
    assert text.startswith("search_attributes.Customer: ")
    assert f"({kind}) is no {declared or 'search attribute'}: " in text
    assert next_step in text
    assert len(text) < 300
    assert "\n" not in text.replace("\\n", "")
    assert "Error" not in text


@pytest.mark.parametrize("name", ["Customer", "type", "value"])
@pytest.mark.parametrize(
    "data", [{"type": "Int", "value": 1}, {"type": "X", "value": 1}, {"type": [], "value": {}}]
)
def test_a_type_that_the_event_chooses_is_not_obeyed(name: str, data: Any) -> None:
    """An object in the data is an object, whatever its keys; where the config declares, too."""
    for value in ("${{ event.data }}", {"type": "Keyword", "value": "${{ event.data }}"}):
        decision = decided({"search_attributes": {name: value}}, data)
        assert decision.action is None
        assert "(an object) is no" in decision.errors[0]


def test_the_type_that_the_config_declares_holds() -> None:
    """For every event of the route, whatever it brings."""
    section = {
        "search_attributes": {
            "Customer": {"type": "Keyword", "value": "${{ event.data }}"},
            "Other": {"type": "Int", "value": None},
        }
    }
    for data, converted in (("a", "a"), (42, "42"), (True, "true")):
        action = decided(section, data).action
        assert isinstance(action, Start)
        assert action.start.search_attributes == {"Customer": ("Keyword", converted)}
    action = decided(section, None).action
    assert isinstance(action, Start)
    assert action.start.search_attributes == {}


def test_what_can_be_no_event_s_fault_is_a_fault_of_the_config() -> None:
    """A constant of the wrong type, and names that Temporal would refuse each time."""
    section = {
        "start": "A" * 1001,
        "task_queue": "q",
        "id": "é" * 501,
        "on_duplicate": {"signal": "a\0"},
        "search_attributes": {
            "Count": {"type": "Int", "value": "many"},
            "Open": {"type": "Bool", "value": "${{ event.data }"},
        },
    }
    wrong = compiled(section)
    assert isinstance(wrong, list)
    found = {problem.loc: problem.message for problem in wrong}
    assert set(found) == {
        ("start",),
        ("id",),
        ("on_duplicate", "signal"),
        ("search_attributes", "Count"),
        ("search_attributes", "Open", "value"),
    }
    assert "1002 bytes" in found["id",]
    assert "is no Int" in found["search_attributes", "Count"]
    wrong = compiled({"signal_with_start": "s", "id": "w", "workflow": "W" * 1001})
    assert isinstance(wrong, list)
    assert [problem.loc for problem in wrong] == [("workflow",)]


# IDs and fairness keys. ---------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "key"), [(None, None), (7, "7"), (True, "true"), ("t", "t")])
def test_fairness_keys(value: Any, key: str | None) -> None:
    """A tenant may be a number; null is none."""
    section = {"priority": {"fairness_key": "${{ event.data }}"}}
    started = decided(section, value).action
    assert isinstance(started, Start)
    assert started.start.fairness_key == key
    one = compiled(
        {"start_activity": "a", "task_queue": "q", "start_to_close_timeout": "1s"} | section
    )
    assert isinstance(one, Route)
    action = route([one], Event(id="e", source="/s", type="t", data=value)).action
    assert isinstance(action, StartActivity)
    assert action.fairness_key == key


@pytest.mark.parametrize("tenant", ["t" * 65, "é" * 33, "a" * 10_000])
def test_a_long_fairness_key_is_a_digest(tenant: str) -> None:
    """Temporal refuses more than 64 bytes; it only has to be the same for the same tenant."""
    key = fairness_key(tenant)
    assert key is not None
    assert len(key.encode()) <= 64
    assert key == fairness_key(tenant)
    assert key != fairness_key(tenant + "2")


@pytest.mark.parametrize("value", [42.0, {"a": 1}, ["a"], b"a"])
def test_what_is_no_fairness_key(value: Any) -> None:
    """It says what it is."""
    with pytest.raises(ExpressionError, match=r"^priority.fairness_key: .* is no text: "):
        fairness_key(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x" * 1001, "an ID that has 1001 bytes: Temporal takes 1000"),
        ("é" * 501, "an ID that has 1002 bytes"),
        ("a\0b", r"the character '\\x00'"),
        ("\ud800", "the character"),
        pytest.param(10**5000, "more than a thousand digits", id="long"),
        (42.0, "is no ID: it has to be a text or a whole number"),
    ],
)
def test_ids_that_temporal_would_refuse(value: Any, reason: str) -> None:
    """Told before the call, with the limit in bytes."""
    with pytest.raises(ExpressionError, match=reason):
        workflow_id(value, "${{ event.data }}")


def test_the_longest_id() -> None:
    """Just what the server takes."""
    assert workflow_id("é" * 500, "") == "é" * 500


def test_outline_shows_the_converted_values() -> None:
    """What `--dry-run` prints is what Temporal would be given."""
    section = {
        "search_attributes": {
            "Customer": {"type": "Keyword", "value": "${{ event.data }}"},
            "Seen": {"type": "Datetime", "value": "${{ event.data }}"},
        },
        "priority": {"fairness_key": "${{ event.data }}"},
    }
    action = decided(section, 1769860800).action
    assert action is not None
    text = outline(action)
    assert '"Customer": {"type": "Keyword", "value": "1769860800"}' in text
    assert '"Seen": {"type": "Datetime", "value": "2026-01-31 12:00:00+00:00"}' in text
    assert "fairness key: 1769860800" in text
