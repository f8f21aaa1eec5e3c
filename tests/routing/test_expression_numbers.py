"""Two different values never become one text: each is exact, or an error that says why."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_runner.events.event import Event
from temporal_runner.events.strict_json import parse_json
from temporal_runner.routing.expression_values import hold_back, may_be_unfit, put_back, unfit
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope
from temporal_runner.routing.templates import Template


def scope(data: Any) -> Scope:
    return Scope(Event(id="e-1", source="/s", type="T", data=data))


LARGEST = 2**64 - 1
"""The largest whole number that CEL has a type for; the smallest is -2**63."""
FITTING = [0, -1, 2**53 + 1, 2**60, 2**63 - 1, 2**63, LARGEST, -(2**60), -(2**63)]
TOO_LARGE = [2**64, 2**64 + 1, 2**80 + 1, -(2**63) - 1, -(2**64), 10**300, -(10**300)]
HUGE = [10**400, -(10**400), 10**4000]


@pytest.mark.parametrize("number", FITTING)
@pytest.mark.parametrize(
    "source",
    [
        "string(event.data.v)",
        "event.data.v.string()",
        "'' + string(event.data.v)",
        "string(event.data['v'])",
        "[event.data.v].map(x, string(x))[0]",
        "string({'a': event.data.v}.a)",
        "string(math.greatest(event.data.v, event.data.v))",
        "string(sum([event.data.v]))",
    ],
)
def test_whole_numbers_of_64_bits_are_exact(source: str, number: int) -> None:
    """As text, in whichever way it is made."""
    assert Expression(source).evaluate(scope({"v": number})) == str(number)


@pytest.mark.parametrize("number", [*TOO_LARGE, *HUGE])
@pytest.mark.parametrize(
    "source",
    [
        "int(event.data.v)",
        "uint(event.data.v)",
        "event.data.v > 1",
        "event.data.v <= 1.0",
        "1 < event.data.v",
        "event.data.v + 1",
        "event.data.v - event.data.v",
        "event.data.v * 1.0",
        "-event.data.v",
        "event.data.v % 2",
        "math.bitNot(event.data.v)",
        "timestamp(event.data.v)",
        "event.data.v ? 1 : 2",
        "event.data['v'] + 1",
        "event['data'].v > 1",
        "[event.data.v].all(x, x > 1)",
    ],
)
def test_nothing_calculates_with_larger_whole_numbers(source: str, number: int) -> None:
    """CEL would take the nearest decimal number for them."""
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(scope({"v": number}))
    message = str(caught.value)
    assert message.startswith(f"{source}: ")
    assert "event.data.v is a whole number beyond 64 bits" in message


@pytest.mark.parametrize("number", [*TOO_LARGE, *HUGE])
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("string(event.data.v)", str),
        ("'' + string(event.data.v)", str),
        ("[event.data.v].map(x, string(x))[0]", str),
        ("string(event.data['v'])", str),
        ("true ? event.data.v : 1", lambda number: number),
        ("event.data['v']", lambda number: number),
        ("[event.data.v, 1].distinct()", lambda number: [number, 1]),
        ("{'n': [event.data.v]}", lambda number: {"n": [number]}),
        ("[event.data].map(x, x.v)", lambda number: [number]),
        ("event.data.v == event.data.same", lambda number: True),
        ("event.data.v == event.data.other", lambda number: False),
        ("event.data.v != event.data.other", lambda number: True),
        ("event.data.v in [event.data.other, 1]", lambda number: False),
        ("event.data.v in [event.data.same, 1]", lambda number: True),
        ("event.data.v in event.data.list", lambda number: True),
        ("event.data.list.contains(event.data.v)", lambda number: True),
        ("event.data.list.contains(event.data.other)", lambda number: False),
        ("[event.data.v, event.data.same, event.data.other].distinct().size()", lambda number: 2),
        ("event.data.v == null", lambda number: False),
        ("event.data.v == 1", lambda number: False),
        ("has(event.data.v) && 'v' in event.data", lambda number: True),
        ("event.data.exists(k, k == 'v')", lambda number: True),
        ("event.data.n + 1", lambda number: 6),
        ("event.data['n'] + 1", lambda number: 6),
    ],
)
def test_larger_whole_numbers_are_exact(source: str, value: Any, number: int) -> None:
    """As text, compared, handed on, or beside what the expression looks at."""
    if "string" in source and abs(number) >= 10**4300:
        return  # Python writes no more digits
    data = {"v": number, "same": number, "other": number + 1, "list": [number], "n": 5}
    assert Expression(source).evaluate(scope(data)) == value(number)


@pytest.mark.parametrize("number", [*FITTING, *TOO_LARGE, *HUGE, 1.5, -0.0, 1e16, 1e300, 5e-324])
def test_a_plain_path_is_exact(number: float) -> None:
    """Alone and within a text: no two numbers give one text."""
    assert Template("${{ event.data.v }}").render(scope({"v": number})) == number
    text = Template("x-${{ event.data.v }}").render(scope({"v": number}))
    assert text == f"x-{number}"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"deep": [{"n": [1, {"m": 2**64}]}]}, "event.data.deep[0].n[1].m"),
        ([1, 2**70], "event.data[1]"),
        (2**64, "event.data"),
        ({"a b": {"c-d": 2**64}}, 'event.data["a b"]["c-d"]'),
        ({"x" * 500: 2**64}, 'event.data["' + "x" * 50 + '…"]'),
        ({"quote\"d": 2**64}, 'event.data["quote\\"d"]'),
    ],
)  # fmt: skip
def test_where_it_stands_is_said(data: Any, path: str) -> None:
    """At any depth of what the expression names."""
    with pytest.raises(ExpressionError) as caught:
        Expression("size(event.data) > event.data").evaluate(scope(data))
    assert f"; {path} is a whole number beyond 64 bits" in str(caught.value)


def test_what_is_not_named_does_not_matter() -> None:
    """A number that the expression does not look at is none of its business."""
    data = {"v": 2**80, "n": 5}
    assert Expression("event.data.n + 1").evaluate(scope(data)) == 6
    assert Expression("event.type == 'T'").evaluate(scope(data)) is True


def test_numbers_as_json_has_them() -> None:
    """From the body of a request to the text."""
    for text in ("9007199254740993", "18446744073709551615"):
        data = parse_json(f'{{"v": {text}}}')
        assert Expression("string(event.data.v)").evaluate(scope(data)) == text
    for text in ("18446744073709551616", "18446744073709551617", "1" + "0" * 4000):
        data = parse_json(f'{{"v": {text}}}')
        assert Expression("string(event.data.v)").evaluate(scope(data)) == text
        with pytest.raises(ExpressionError, match="beyond 64 bits"):
            Expression("event.data.v > 5").evaluate(scope(data))
        assert Template("x-${{ event.data.v }}").render(scope(data)) == f"x-{text}"


@pytest.mark.parametrize("value", [Decimal("1.10"), Decimal("18446744073709551617")])
def test_numbers_of_other_types_are_refused(value: Any) -> None:
    """A source of one's own may hand over a Decimal, which CEL would round."""
    assert Expression("[event.data.v]").evaluate(scope({"v": value})) == [value]
    with pytest.raises(
        ExpressionError, match=r"event\.data\.v is a value of the type Decimal, which CEL has no"
    ):
        Expression("string(event.data.v)").evaluate(scope({"v": value}))
    assert Template("${{ event.data.v }}").render(scope({"v": value})) is value


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sum([event.data.v, event.data.v])", "sum(): the result is beyond 64 bits"),
        ("sum([-9223372036854775807, -9223372036854775807])", "sum(): the result is beyond"),
        ("math.floor(9007199254740993)", "math.floor(): 9007199254740993 is no decimal number"),
        ("math.ceil(9007199254740993)", "math.ceil(): 9007199254740993 is no decimal number"),
        ("math.round(9007199254740993)", "math.round(): 9007199254740993 is no decimal number"),
        ("math.trunc(event.data.v)", "math.trunc(): 18446744073709551615 is no decimal number"),
        ("sum([9007199254740993, 1.0])", "sum(): 9007199254740993 is no decimal number"),
        ("double(9007199254740993)", "double(): 9007199254740993 is no decimal number"),
        ("double(event.data.v)", "double(): 18446744073709551615 is no decimal number"),
        ("event.data.v.double()", "double(): 18446744073709551615 is no decimal number"),
        ("double('9007199254740993')", "double(): 9007199254740993 is no decimal number"),
        ("double('1e400')", "double(): the text is no decimal number"),
        ("double('nan')", "double(): the text is no decimal number"),
        ("double('inf')", "double(): the text is no decimal number"),
        ("double('1_0')", "double(): the text is no decimal number"),
        ("double(' 1')", "double(): the text is no decimal number"),
        ("double('\u0661')", "double(): the text is no decimal number"),
        ("double(true)", "double() cannot take true or false"),
        ("double(null)", "double() cannot take null"),
        ("int(1e300)", "int(): the number is beyond 64 bits"),
        ("int(event.data.v)", "int(): the number is beyond 64 bits"),
        ("int('9223372036854775808')", "int(): the text is no whole number of 64 bits"),
        ("int('1e3')", "int(): the text is no whole number of 64 bits"),
        ("int('1.0')", "int(): the text is no whole number of 64 bits"),
        ("uint(-1)", "uint(): the number is beyond 64 bits, or below 0"),
        ("9223372036854775807 + 1", "the result is beyond 64 bits"),
        ("-9223372036854775807 - 2", "the result is beyond 64 bits"),
        ("9223372036854775807 * 2", "the result is beyond 64 bits"),
        ("1.0 / 0.0", "the result is no finite number"),
        ("0.0 / 0.0", "the result is no finite number"),
        ("1e308 * 10.0", "the result is no finite number"),
        ("string(base64.decode('/w=='))", "base64.decode(): these bytes are no text in UTF-8"),
    ],
)
def test_what_would_be_rounded_is_refused(source: str, message: str) -> None:
    """Functions and sums, where the result does not fit."""
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(scope({"v": LARGEST}))
    assert str(caught.value).startswith(f"{source}: {message}")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("string(1)", "1"), ("string(1.0)", "1"), ("string('1')", "1"), ("string(1u)", "1"),
        ("string(true)", "true"), ("string(false)", "false"), ("string('true')", "true"),
        ("string(1.5)", "1.5"), ("string(1e16)", "10000000000000000"), ("string(-0.0)", "-0"),
        ("string(0.1)", "0.1"), ("string(1e21)", "1" + "0" * 21),
        ("string(b'abc')", "abc"), ("string(base64.decode('YWJj'))", "abc"),
        ("base64.decode('/w==')", b"\xff"), ("size(base64.decode('/w=='))", 1),
        ("string(timestamp('2026-01-02T03:04:05.123456Z'))", "2026-01-02T03:04:05.123456+00:00"),
        ("string(timestamp('2026-01-02T03:04:05.123456789Z'))",
         "2026-01-02T03:04:05.123456789+00:00"),
        ("string(timestamp('2026-01-02T03:04:05+02:00'))", "2026-01-02T03:04:05+02:00"),
        ("string(duration('1.5s'))", "1.5s"),
        ("int(1.9)", 1), ("int(-1.9)", -1), ("int('9223372036854775807')", 2**63 - 1),
        ("int('+1')", 1), ("uint('18446744073709551615')", LARGEST),
        ("double(1)", 1.0), ("double(-9007199254740992)", -9007199254740992.0),
        ("double(9007199254740994)", 9007199254740994.0), ("double('1.5e3')", 1500.0),
        ("double('-.5')", -0.5), ("double(1.5)", 1.5), ("double(1u)", 1.0),
        ("double('5')", 5.0), ("type(1.0) == double", True), ("double(1) == 1.0", True),
        ("'double(1)' + string(double (2))", "double(1)2"),
        ("math.floor(1.5)", 1.0), ("math.sqrt(9007199254740993)", 94906265.62425156),
        ("math.abs(-9223372036854775807)", 2**63 - 1),
    ],
)  # fmt: skip
def test_each_type_has_one_text(source: str, value: Any) -> None:
    """The texts of values, which IDs are made of: they must not change from release to release."""
    found = Expression(source).evaluate(scope({}))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"), (1.0, "1.0"), ("1", "1"), (True, "true"), ("true", "true"), (1e16, "1e+16"),
        (-0.0, "-0.0"), (0, "0"), (1e-7, "1e-07"), (2**80, str(2**80)), ("1.10", "1.10"),
        (123456789.123456789, "123456789.12345679"), ("\x00", "\x00"), ("é\U0001f600",) * 2,
    ],
)  # fmt: skip
def test_what_is_put_into_a_text(value: Any, text: str) -> None:
    """The same for `x-${{ … }}`: a decimal number keeps its point."""
    assert Template("x-${{ event.data.v }}").render(scope({"v": value})) == f"x-{text}"


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, b"x", float("inf"), float("nan")])
def test_what_has_no_text_is_refused(value: Any) -> None:
    """Null, lists, objects, bytes, and what is no number."""
    with pytest.raises(ExpressionError, match="does not fit into a text"):
        Template("x-${{ event.data.v }}").render(scope({"v": value}))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("string(null)", "null"), ("string([1])", "a list"), ("string({'a': 1})", "an object"),
        ("int(null)", "null"), ("int(true)", "true or false"), ("int([1])", "a list"),
        ("uint(null)", "null"), ("uint({})", "an object"), ("bytes(1)", "a whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted(source: str, kind: str) -> None:
    """The message names the function and what it was given."""
    function = source.split("(")[0]
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(scope({}))
    assert str(caught.value).startswith(f"{source}: {function}() cannot take {kind}")


WHOLE = st.one_of(st.integers(), st.integers(-(2**66), 2**66), st.sampled_from(TOO_LARGE + FITTING))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.one_of(WHOLE, TEXT, st.floats(allow_nan=False), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)),
)


def numbers(value: Any) -> list[int]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for one in inner for number in numbers(one)]
    return [value] if isinstance(value, int) else []


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_every_number_that_does_not_fit_is_found(value: Any) -> None:
    """However deep: what CEL cannot hold, and nothing else."""
    fits = all(-(2**63) <= number < 2**64 for number in numbers(value))
    assert unfit(value, "event").endswith("hands it on as it is") != fits
    assert fits or may_be_unfit(value)
    held: dict[str, Any] = {}
    assert put_back(hold_back(value, held), held) == value


@settings(max_examples=200, deadline=None)
@given(WHOLE, WHOLE)
def test_two_numbers_never_share_an_id(first: int, second: int) -> None:
    """An ID is exact, or there is none."""
    found = []
    for number in (first, second):
        data = json.loads(json.dumps({"v": number}))
        try:
            found.append(Expression("'id-' + string(event.data.v)").evaluate(scope(data)))
        except ExpressionError:
            continue
    assert len(set(found)) == len({first, second}) or len(found) < 2
