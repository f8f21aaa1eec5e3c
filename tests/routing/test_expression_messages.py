"""What is wrong with an expression is said in plain words: the value's type, and the next step."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from temporal_runner.events.event import Event
from temporal_runner.routing.expressions import (
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    Scope,
)

DATA: dict[str, Any] = {
    "n": 3, "f": 1.5, "t": "text", "none": None, "l": [1], "o": {"a": 1}, "b": True, "big": 2**64,
    "first-name": "Ada", "x-1": 5, "ms": 1700000000000,
}  # fmt: skip
HEADERS = {"content-type": "text/plain", "x": 3}


def scope() -> Scope:
    event = Event(id="e-1", source="/s", type="T", data=DATA, extensions={"headers": HEADERS})
    return Scope(event)


MIXED = "these types do not go together; "
CONVERT = "CEL does not mix types: convert with int(), double() or string()"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("event.data.n > event.data.t",
         MIXED + "event.data.n is a whole number; event.data.t is a text; " + CONVERT),
        ("event.data.n + event.data.f",
         MIXED + "event.data.f is a decimal number; event.data.n is a whole number; " + CONVERT),
        ("'a' + event.data.n", MIXED + "event.data.n is a whole number; " + CONVERT),
        ("event.data.n * 1.5", MIXED + "event.data.n is a whole number; " + CONVERT),
        ("event.data.none > 1",
         MIXED + "event.data.none is null; ask event.data.none != null first"),
        ("event.data.none + 'a'",
         MIXED + "event.data.none is null; ask event.data.none != null first"),
        ("event.data.none.x == 1", MIXED + "event.data.none is null; "),
        ("!event.data.n", MIXED + "event.data.n is a whole number; "),
        ("-event.data.t == 'a'", MIXED + "event.data.t is a text; "),
        ("event.data.n && true", MIXED + "event.data.n is a whole number; "),
        ("event.data.l ? 1 : 2", MIXED + "event.data.l is a list; "),
        ("'a' in event.data.t", MIXED + "event.data.t is a text; "),
        ("event.data.t[0]", MIXED + "event.data.t is a text; "),
        ("event.data.o > 1", MIXED + "event.data.o is an object; "),
        ("event.data.t.map(x, x)", MIXED + "event.data.t is a text; "),
        ("event.time_of_day == 1 || event.data.t > 1", MIXED + "event.data.t is a text; "),
        ("int(event.data.none)", "int() cannot take null: "),
        ("int(event.data.t)", "int(): the text is no whole number of 64 bits"),
        ("string(event.data.l)", "string() cannot take a list: "),
        ("double(event.data.t)", "double(): the text is no decimal number"),
        ("size(event.data.n)", "size() cannot take a whole number: "),
        ("event.data.none.size()", "size() cannot take null: "),
        ("event.data.n.startsWith('a')", "startsWith() cannot take a whole number and a text: "),
        ("event.data.t.endsWith(event.data.n)", "endsWith() cannot take a text and a whole number"),
        ("event.data.none.matches('a')", "matches() cannot take null and a text: "),
        ("event.data.t.contains(event.data.n)", "contains() cannot take a text and a whole number"),
        ("event.data.none.lowerAscii()", "lowerAscii() cannot take null"),
        ("event.data.n.split(',')", "split() cannot take a whole number and a text"),
        ("event.data.n.trim()", "trim() cannot take a whole number"),
        ("event.data.l.join('-')", "join() cannot take a list and a text"),
        ("[1, 'a'].sort()", "sort() cannot take a list"),
        ("math.abs(event.data.t)", "math.abs() cannot take a text"),
        ("event.data.t.substring(9)", "substring: [9:4] out of range"),
        ("base64.decode(event.data.t + '!')", "base64.decode(): "),
        ("bool(event.data.t)", "bool(): cannot convert string 'text' to bool"),
        ("event.data.t.getFullYear()", "getFullYear() cannot take a text: it is a timestamp's, as"),
        ("timestamp(event.data.t)", "timestamp(): the text is no time in RFC 3339, such as 2026-"),
        ("timestamp(event.data.none)", "timestamp() cannot take null: it takes a text in RFC 3339"),
        ("timestamp(event.data.f)", "timestamp() cannot take a decimal number: it takes a text in"),
        ("timestamp(event.data.b)", "timestamp() cannot take true or false: it takes a text in"),
        ("timestamp(event.data.ms)", "timestamp(): not between the years 1 and 9999; it takes Uni"),
        ("duration(event.data.n)", "duration() cannot take a whole number: it takes a text such"),
        ("duration(event.data.t)", "duration(): the text is no duration, such as 90s or 1h30m"),
        ("event.data.t.matches(event.data.t + '[')", "matches(): no regular expression: unclosed"),
        ("'a'.matches('(?' + '=a)')", "matches(): no regular expression: look-around, including"),
        ("event.data.l[true]", MIXED + "event.data.l is a list; " + CONVERT),
        ("matches(event.data.t, 'a')", "matches() cannot take a text and a text: it is a text's a"),
        ("startsWith('a', 'a')", "startsWith() cannot take a text and a text: it is a text's and"),
        ("event.data.t.length", "the event has no 'length' there; how many there are is size(…)"),
        ("event.data.l.length > 1", MIXED + "event.data.l is a list; how many there are is size("),
        ("event.data.l.len", "the event has no 'len' there; how many there are is size(…)"),
        ("event.data.x == null", "the event has no 'x' there; a field that is missing is not nu"),
        ("event.data.o.x != null", "the event has no 'x' there; a field that is missing is not"),
        ("event.data.x == 1", "the event has no 'x' there"),
        ("event.data.first - 1", "the event has no 'first' there"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated(source: str, message: str) -> None:
    """For one event: which value is of what type, and what to write instead."""
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(scope())
    assert str(caught.value).startswith(f"{source}: {message}")
    for jargon in ("overload", "Undefined", "Python", "exact_double", "NoneType"):
        assert jargon not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("event.headers.content-type == 'a'",
         "unknown name 'type'; a name with a dash is written event.headers[\"content-type\"]"),
        ("event.data.first-name", "a name with a dash is written event.data[\"first-name\"]"),
        ("event.headers.x-event-id", "a name with a dash is written event.headers[\"x-event-id\"]"),
        ("event .headers . content-length > 5", "is written event.headers[\"content-length\"]"),
        ("size(event.data.list-of-things)", "is written event.data[\"list-of-things\"]"),
        ("'event.a-type' + type(evnt)", "unknown name 'evnt'; there is only `event`"),
        ("event.data.n - type2", "unknown name 'type2'; there is only `event`"),
        ("event.data.t.len() > 1", "unknown function 'len'; CEL writes size"),
        ("event.data.t.length() > 1", "unknown function 'length'; CEL writes size"),
        ("len(event.data.l)", "unknown function 'len'; CEL writes size"),
        ("event.data.l.count()", "unknown function 'count'; CEL writes size"),
        ("event.data.t.toLowerCase()", "unknown function 'toLowerCase'; CEL writes lowerAscii"),
        ("event.data.t.upper()", "unknown function 'upper'; CEL writes upperAscii"),
        ("str(event.data.n)", "unknown function 'str'; CEL writes string"),
        ("float(event.data.n)", "unknown function 'float'; CEL writes double"),
        ("event.data.l.includes(1)", "unknown function 'includes'; CEL writes contains"),
        ("event.data.t.strip()", "unknown function 'strip'; CEL writes trim"),
        ("event.data.b == True", "unknown name 'True'; CEL writes true"),
        ("event.data.none == None", "unknown name 'None'; CEL writes null"),
        ("event.data.none == nil", "unknown name 'nil'; CEL writes null"),
        ("event.data.n === 3", "CEL writes == for equal"),
        ("event.subject.matches('[')", "'[': matches(): no regular expression: unclosed character"),
        ("event.subject.matches(r'(?=a)')", "r'(?=a)': matches(): no regular expression: look-aro"),
        ("event.subject . matches ( \"a{9999}{9999}\" )", "Compiled regex exceeds size limit"),
        ("timestamp('nope') > timestamp(event.time)", "'nope': timestamp(): the text is no time"),
        ("timestamp(\"2026-01-02\")", "\"2026-01-02\": timestamp(): the text is no time in RFC"),
        ("duration('1 hour')", "'1 hour': duration(): the text is no duration, such as 90s"),
        ("event.data.l.exists(x, x.matches('*'))", "'*': matches(): no regular expression: repeti"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_when_the_plan_is_made(source: str, message: str) -> None:
    """Without an event: habits of other languages, and constants that cannot be read."""
    with pytest.raises(ExpressionSyntaxError) as caught:
        Expression(source)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event['id']", "e-1"), ("event[\"data\"].n", 3), ("event.headers['content-type']",
        "text/plain"), ("event.data['first-name']", "Ada"), ("event.data['x-1'] - 1", 4),
        ("event.data.n-1", 2), ("event.data.n-event.data.n", 0),
        ("event.headers.x-event.data.n", 0),
        ("event.data.o.a == null", False), ("event.data.none == null", True),
        ("'matches(\"[\")' + 'timestamp(\"x\")'", "matches(\"[\")timestamp(\"x\")"),
        ("r'\\' + \"double(1)\"", "\\double(1)"), ("'''a'b''' + 'c'", "a'bc"),
        ('"""a"double(1)""" + "c"', 'a"double(1)c'),
        ("event.id.matches(r'^e-\\d$')", True), ("event.id.matches('e' + '.1')", True),
        ("timestamp(1700000000)", None), ("int(timestamp(1700000000))", 1700000000),
        ("string(timestamp(1700000000))", "2023-11-14T22:13:20+00:00"),
        ("timestamp(event.data.ms / 1000) == timestamp(1700000000)", True),
        ("timestamp(-1) < timestamp('1970-01-01T00:00:00Z')", True),
        ("timestamp(1700000000) - timestamp(1699999999) == duration('1s')", True),
        ("int(timestamp('2023-11-14T23:13:20.999+01:00'))", 1700000000),
        ("event.data.l.size() == 1 && size(event.data.o) == 1", True),
    ],
)  # fmt: skip
def test_what_is_right(source: str, value: Any) -> None:
    """What looks like one of these mistakes and is none."""
    found = Expression(source).evaluate(scope())
    assert value is None or found == value


def test_an_event_is_not_quoted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What the CEL library has to say is in the error; it would log the event's value beside it."""
    with caplog.at_level(logging.DEBUG), pytest.raises(ExpressionError):
        Expression("bool(event.data.t)").evaluate(scope())
    assert caplog.records == []


@pytest.mark.parametrize(
    "source",
    [
        "event.data.t.matches(event.data.re)",
        "timestamp(event.data.re)",
        "event.data.re + 1",
        "bool(event.data.re)",
    ],
)
def test_a_message_is_not_as_long_as_its_event(source: str) -> None:
    """What a sender puts into an event does not fill the log."""
    data = {"t": "a", "re": "(" * 100_000}
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(Scope(Event(id="1", source="s", type="t", data=data)))
    assert len(str(caught.value)) < 600
