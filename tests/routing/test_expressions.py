"""CEL over an event: native types, and errors when the plan is made rather than at midnight."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_runner.events.event import Event
from temporal_runner.routing.expressions import (
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    Scope,
)
from temporal_runner.routing.templates import Template

DATA = {
    "n": 3,
    "f": 1.5,
    "yes": True,
    "nothing": None,
    "text": "Hello World",
    "list": [1, {"deep": ["x"]}],
    "big": 2**80,
    "odd-name": "dash",
    "package": "reserved",
}


def scope(data: Any = DATA, **attributes: Any) -> Scope:
    return Scope(Event(**{"id": "e-1", "source": "/s", "type": "T", "data": data, **attributes}))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.data.n", 3), ("event.data.n + 1", 4), ("event.data.f * 2.0", 3.0),
        ("event.data.yes", True), ("!event.data.yes", False), ("event.data.nothing", None),
        ("event.data.list", [1, {"deep": ["x"]}]), ("event.data.list[1].deep[0]", "x"),
        ("{'a': event.data.list}", {"a": [1, {"deep": ["x"]}]}), ("event.data['odd-name']", "dash"),
        ("event.data.big", 2**80), ("event.data.package", "reserved"),
        ("event.data.package == 'reserved'", True),
        ("event.data.text.replace('World', 'CEL')", "Hello CEL"),
        ("event.data.text.lowerAscii()", "hello world"), ("event.data.text.size()", 11),
        ("math.abs(-3)", 3), ("base64.encode('abc')", "YWJj"),
        ("event.data.text.split(' ')[0]", "Hello"),
        ("event.data.list.exists(item, item == 1)", True), ("[1, 2].map(x, x * 2)", [2, 4]),
        ("[[1], [2]].exists(a, a.exists(b, b == 2))", True),
        ("type(event.data.n) == int", True), ("string(event.data.n) + '!'", "3!"),
        ("has(event.data.missing)", False),
        ("has(event.data.missing) && event.data.missing", False),
        ("event.data.n > 2 ? 'many' : 'few'", "many"), ("'n' in event.data", True),
        ("event.id + event.source + event.type", "e-1/sT"),
    ],
)  # fmt: skip
def test_values_keep_their_types(source: str, value: Any) -> None:
    """An expression's value is a plain Python value of the type that the event or CEL gave it."""
    found = Expression(source).evaluate(scope())
    assert found == value
    assert type(found) is type(value)


def test_attributes_of_the_event() -> None:
    """Time, subject and extensions are there where the event has them."""
    time = datetime(2026, 1, 2, tzinfo=UTC)
    at = scope(time=time, subject="a.pdf", extensions={"traceparent": "00-1"})
    assert Expression("event.time").evaluate(at) == "2026-01-02T00:00:00+00:00"
    assert Expression("event.subject").evaluate(at) == "a.pdf"
    assert Expression("event.traceparent").evaluate(at) == "00-1"
    with pytest.raises(ExpressionError, match="the event has no 'subject' there"):
        Expression("event.subject").evaluate(scope())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("event.data.missing", "event.data.missing: the event has no 'missing' there"),
        ("event.data.missing == 1", "event.data.missing == 1: the event has no 'missing' there"),
        ("event.data.n.deeper", "event.data.n.deeper: the event has no 'deeper' there"),
        (
            "event.data.n > 'x'",
            "event.data.n > 'x': these types do not go together; event.data.n is a whole number",
        ),
        ("1 / 0", "1 / 0: division by zero"),
        ("event.data.list[9]", "event.data.list[9]: index out of bounds: 9"),
        (
            "event.data.text.matches('(' + 'x')",
            "event.data.text.matches('(' + 'x'): matches(): no regular expression: unclosed group",
        ),
        ("9223372036854775807 + event.data.n", "9223372036854775807 + event.data.n: "),
    ],
)
def test_what_cannot_be_evaluated_says_why(source: str, message: str) -> None:
    """A missing field or a wrong type is an error in one line that names the expression."""
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(scope())
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("\ud800", "event.data has half a character in it, which is no text"),
        ({"deep": ["\udfff"]}, "event.data.deep[0] has half a character in it"),
        ({"\udfff": 1}, "event.data has half a character in it"),
        ({1, 2}, "event.data is a value of the type set, which CEL has no type for"),
        ({"o": object()}, "event.data.o is a value of the type object, which CEL has no type for"),
    ],
)
def test_data_that_cel_cannot_take(data: Any, message: str) -> None:
    """Half a character in a JSON body, or a foreign object, fails what reads it, nothing else."""
    with pytest.raises(ExpressionError, match=re.escape(f": {message}")):
        Expression("event.data == 'T'").evaluate(scope(data))
    assert isinstance(Expression("event.type == 'T'").evaluate(scope(data)), bool)
    assert Expression("event.data").evaluate(scope(data)) is data


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the expression is empty"),
        ("  ", "the expression is empty"),
        ("event..x", "no viable alternative at input '..' (at its character 7)"),
        ("event.n ==", "mismatched input its end (at its character 11)"),
        ("event.n = 1", "at: '= ' (at its character 9); CEL writes == for equal"),
        ("event.a == 1 and true", "input 'and' (at its character 14); CEL writes && for and"),
        ("event.a == ' and ' or true", "'or' (at its character 20); CEL writes || for or"),
        ("not event.a", "input 'event' (at its character 5); CEL writes ! for not"),
        ("evnt.data", "unknown name 'evnt'; there is only `event`"),
        ("data.n == 1", "unknown name 'data'; did you mean event.data?"),
        ("event.n == 1 || y == 2", "unknown name 'y'; there is only `event`"),
        ("starts_with(event.id)", "unknown function 'starts_with'; did you mean startsWith?"),
        ("event.id.frobnicate()", "unknown function 'frobnicate'"),
        ("(" * 500 + "1" + ")" * 500, "not a CEL expression: it is nested too deeply"),
        ("math.cube(3)", "unknown name 'math'; there is only `event`"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_found_at_plan_time(source: str, message: str) -> None:
    """Wrong syntax and unknown names are found without an event, with a hint where one is known."""
    with pytest.raises(ExpressionSyntaxError) as caught:
        Expression(source)
    assert str(caught.value).endswith(message)


def test_a_filter_is_true_or_false() -> None:
    """A filter that gives anything else is an error, not a guess."""
    assert Expression("event.data.n == 3").is_true(scope())
    assert not Expression("event.data.n == 4").is_true(scope())
    for source in ("event.data.n", "event.data.nothing", "event.data.text", "1 + 1"):
        with pytest.raises(ExpressionError, match="not true or false"):
            Expression(source).is_true(scope())


# Templates. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"), (5, 5), (None, None), ("", ""), ("}} {{", "}} {{"),
        ("${{ event.data }}", DATA), (" ${{ event.data.n }} ", 3), ("${{event.data.yes}}", True),
        ("n-${{ event.data.n }}-${{ event.data.f }}", "n-3-1.5"),
        ("${{ event.data.yes }}${{ event.data.yes }}", "truetrue"),
        ("big ${{ event.data.big }}", f"big {2**80}"),
        ({"a": ["${{ event.data.n }}", {"b": "x${{ event.id }}"}]}, {"a": [3, {"b": "xe-1"}]}),
        ("${{ {'a': {'b': 1}} }}", {"a": {"b": 1}}), ("${{ '}}' + '{' }}", "}}{"),
        ("${{ {'a': 1} }}", {"a": 1}),
        ("a ${{ \"}}\" }} b", "a }} b"), ("$ {{ x }}", "$ {{ x }}"),
        ({"${{ event.id }}": 1}, {"${{ event.id }}": 1}),
        ("$${{ event.id }}", "${{ event.id }}"), ("a $${{ x", "a ${{ x"), ("$$${{ x", "$${{ x"),
        ("$${{ ${{ event.id }} }}", "${{ e-1 }}"), ("${{ event.id }}$${{", "e-1${{"),
        ({"a": ["$${{ x }}", "${{ event.data.n }}"]}, {"a": ["${{ x }}", 3]}),
        (("$${{ x }}", {"a": "$${{"}), ["${{ x }}", {"a": "${{"}]), ("$${ {", "$${ {"),
        ("${{ r'\\' + 'x' }}", "\\x"), ("${{ r'\\' + '}}' }}", "\\}}"), ("${{ r'}}' }}", "}}"),
        ("${{ '''it's }}''' }}!", "it's }}!"),
    ],
)  # fmt: skip
def test_templates(written: Any, value: Any) -> None:
    """One expression keeps its type; within a text it is text; structures are kept."""
    rendered = Template(written).render(scope())
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize("source", ["event.data.list", "event.data.nothing", "event.data"])
def test_only_plain_values_go_into_a_text(source: str) -> None:
    """A list, a map or null within a text is an error, not its Python spelling."""
    with pytest.raises(ExpressionError, match="does not fit into a text"):
        Template(f"x-${{{{ {source} }}}}").render(scope())


@pytest.mark.parametrize(
    ("written", "loc", "message"),
    [
        ("a ${{ event.id", (), "${{ without its closing }}"),
        ("${{ }}", (), "the expression is empty"),
        ({"a": [1, {"b": "${{ nope }}"}]}, ("a", 1, "b"), "unknown name 'nope'"),
        (["ok", "${{ event.id == }}"], (1,), "not a CEL expression"),
    ],
)
def test_wrong_templates_say_where(written: Any, loc: tuple[int | str, ...], message: str) -> None:
    """Deep in a structure, the wrong text is found by its keys and indexes."""
    with pytest.raises(ExpressionSyntaxError, match=message.replace("$", r"\$")) as caught:
        Template(written)
    assert caught.value.loc == loc


PIECES = ["event", ".data", ".id", "[", "]", "(", ")", "{", "}", "${{", "}}", "'", '"', "&&", "!"]
PIECES += ["==", " ", "1", "2.5", "'x'", ",", ":", "?", "+", "in", ".size()", ".map(x, x)", "\\"]


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=15).map("".join)))
def test_any_text_is_a_template_or_says_why_not(written: str) -> None:
    """Whatever is written, and whatever it gives for an event, only our own errors come of it."""
    for template in (written, "${{" + written + "}}"):
        with suppress(ExpressionSyntaxError, ExpressionError):
            Template(template).render(scope())


NAMING = [
    "event.type == 'a'",
    "event.data.a + event.data.b.c",
    "event.data.b.c > 1 && event.data.b.size() == 2",
    "event.data.b.c == 1 || size(event.data.b) == 2",
    "has(event.data.x) || has(event.data.b.c)",
    "has(event.data.b.x.y)",
    "event.data.b.x",
    "event.data.l[0].k == event.data.a",
    "event.data['b'].c",
    "event['data'].a",
    "event.data.exists(k, k == 'a')",
    "event.data.l.map(one, one.k)",
    "event.data.b",
    "event.data.b == {'c': 1, 'd': 2} && event.data.b.c == 1",
    "event.data.s.startsWith('e') && event.data.s.size () == 5",
    "'event' + event.data.s",
    "size(event) > 2",
    "event.subject == 'x'",
    "has(event.subject) ? event.subject : event.id",
    "event.data.n == null",
    "event.data.n.x",
    "[1, 2].map(event, event + 1)",
    "event.headers.host",
    "event .data . a",
]


@pytest.mark.parametrize("source", NAMING)
@pytest.mark.parametrize(
    "data",
    [
        {"a": 1, "b": {"c": 1, "d": 2}, "l": [{"k": 1}], "s": "event", "n": None},
        {"a": {"b": 1}, "b": "text", "l": {}, "s": 5, "n": {"x": {"y": 1}}},
        {},
        "text",
        None,
    ],
    ids=str,
)
def test_what_an_expression_does_not_name_makes_no_difference(source: str, data: Any) -> None:
    """CEL is handed only what an expression names: it gives what it gives for the whole event."""

    def outcome(expression: Expression) -> tuple[bool, Any]:
        event = Event(id="1", source="/s", type="a", data=data, extensions={"headers": {"host": 1}})
        before = copy.deepcopy(event.data)
        try:
            return True, expression.evaluate(Scope(event))
        except ExpressionError as error:
            return False, str(error)
        finally:
            assert event.data == before

    of_part, of_all = Expression(source), Expression(source)
    of_all._paths = None
    assert outcome(of_part) == outcome(of_all)


def test_cel_is_loaded_only_by_what_needs_it() -> None:
    """A config with plain paths alone does not pay for importing the CEL library."""
    code = (
        "import sys; from temporal_runner.routing.templates import Template;"
        "Template({'a': '${{ event.data.x }}-${{ event.id }}'}); assert 'cel' not in sys.modules;"
        "Template('${{ event.id + event.id }}'); assert 'cel' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
