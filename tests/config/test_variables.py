"""`${VAR}` in values, by Compose's rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_runner.config.load import load
from temporal_runner.config.routes import TEMPLATES
from temporal_runner.config.variables import Kind, VariableError, substitute
from temporal_runner.events.event import Event
from temporal_runner.routing import compile as compile_module
from temporal_runner.routing.expressions import Expression, Scope
from temporal_runner.routing.templates import Template

ENVIRON = {"A": "alpha", "EMPTY": "", "B_2": "beta"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain $A $ 5$", "plain $A $ 5$"),
        ("${A}", "alpha"),
        ("x-${A}-${B_2}!", "x-alpha-beta!"),
        ("${EMPTY}", ""),
        ("${A:-no}", "alpha"), ("${EMPTY:-no}", "no"), ("${EMPTY-no}", ""), ("${X-no}", "no"),
        ("${X:-}", ""),
        ("${A:+yes}", "yes"), ("${EMPTY:+yes}", ""), ("${EMPTY+yes}", "yes"), ("${X+yes}", ""),
        ("${A:?needed}", "alpha"), ("${EMPTY?needed}", ""),
        ("${X:-${Y:-${A}}}", "alpha"),
        ("${X:-a-${A}-b}", "a-alpha-b"),
        ("${X:-http://h:1/?q=a:-b}", "http://h:1/?q=a:-b"),
        ("${A:-${X:?never read}}", "alpha"),
        ("$${A}", "${A}"), ("$$${A}", "$${A}"), ("${X:-$${A}}", "${A}"),
        ("${{ event.data.x }}", "${{ event.data.x }}"),
        ("${{ {'a': {'b': '${A}'}} }}-${A}", "${{ {'a': {'b': 'alpha'}} }}-alpha"),
        ("$${{ ${A} }}", "${{ alpha }}"),
        ("${X:-${{ event.id }}}", "${{ event.id }}"),
        ("${{ never closed ${A}", "${{ never closed ${A}"),
        ("}{", "}{"), ("", ""),
    ],
)  # fmt: skip
def test_compose_rules(written: str, value: str) -> None:
    """Each form gives what Compose gives; `${{ … }}` is left for the event."""
    assert substitute(written, ENVIRON)[0] == value


def test_unset_names_are_told() -> None:
    """A plain variable that is unset is empty, and named for a warning."""
    assert substitute("${X}${Y:-}${A}${X2}", ENVIRON) == ("alpha", ["X", "X2"])


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("${X:?set it to the queue}", "the environment variable X is not set: set it to the queue"),
        ("${X?}", "the environment variable X is not set: it is required"),
        ("${EMPTY:?give ${A}}", "the environment variable EMPTY is not set: give alpha"),
        ("${", "after ${ comes the name of an environment variable (or write $${)"),
        ("${1A}", "after ${ comes the name of an environment variable (or write $${)"),
        ("${A", "after ${A comes }, :-default, :?message or :+instead"),
        ("${A b}", "after ${A comes }, :-default, :?message or :+instead"),
        ("${X:-open", "${ without its closing brace"),
        ("${A:-open", "${ without its closing brace"),
        ("${A:-" * 5000 + "}" * 5000, "defaults nest more than 20 deep"),
    ],
)
def test_what_is_wrong_is_said(written: str, message: str) -> None:
    """A variable that must be set, and syntax that is not one, have their own messages."""
    with pytest.raises(VariableError) as caught:
        substitute(written, ENVIRON)
    assert str(caught.value) == message


def test_bytes_that_are_no_text() -> None:
    """A variable whose bytes are not UTF-8 is refused by name, its value not shown."""
    with pytest.raises(VariableError, match=r"^the environment variable RAW is not UTF-8 text$"):
        substitute("${RAW}", {"RAW": "secret\udcff"})


PIECES = st.sampled_from(["${", "}", "${{", "}}", "$", "$${", "A", ":-", ":?", "+", "'", '"', "{"])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)))
def test_any_text_ends(written: str) -> None:
    """Whatever the text, it is read to its end, or there is a message; never a hang or a crash."""
    try:
        value, _ = substitute(written, ENVIRON)
    except VariableError:
        return
    if "$" not in written:
        assert value == written


# Expressions. -------------------------------------------------------------------------------------

NASTY = [
    'x" || true || "', "x' || true || '", "x' }} ${{ true }}", '"', "'", "\\", '\\"', "\\\\'",
    "\n", "\r", "}}", "${{ event.data.secret }}", "$${{", "${A}", "$", "{{", "event.data",
    '\\" || true || \\"',
    "\x00\x01\x1f\x7f", "\u2028", "é\U0001f600", "// comment", "r'", '"""', "a\tb", "",
    "\\x41", "\\u0041",
]  # fmt: skip
QUOTED = [
    '"${T}"', "'${T}'", '"""${T}"""', "\'\'\'${T}\'\'\'", '"" + "${T}"', '"${X:-${T}}"',
    '"${X-${T}}"',
    "'${T:+${T}}'", '"a" == "b" ? "" : "${T}"', '{"a": "${T}"}.a', '["}}", "${T}"][1]',
]  # fmt: skip


def evaluated(text: str) -> Any:
    """What a template or a filter gives."""
    return Template(text).render(Scope(Event(id="1", source="s", type="t", data={"secret": 1})))


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("source", QUOTED)
def test_a_variable_within_quotes_is_text(source: str, value: str) -> None:
    """Whatever it holds, the expression's text is the value: it ends neither quotes nor braces."""
    environ = {"T": value}
    expected = value
    if ":-" in source and not value:
        expected = ""
    for kind in Kind:
        text, _ = substitute(f"${{{{ {source} }}}}", environ, kind)
        assert evaluated(text) == expected
        text, _ = substitute(f"x-${{{{ {source} }}}}-y", environ, Kind.TEMPLATE)
        assert evaluated(text) == f"x-{expected}-y"
    bare, _ = substitute(source, environ, Kind.EXPRESSION)
    assert Expression(bare).evaluate(Scope(Event(id="1", source="s", type="t"))) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(QUOTED))
def test_any_variable_within_quotes_is_text(value: str, source: str) -> None:
    """The same for any text."""
    text, _ = substitute(source, {"T": value}, Kind.EXPRESSION)
    assert Expression(text).evaluate(Scope(Event(id="1", source="s", type="t"))) == value


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("around", ["${T}", "a${T}b", "${T}${T}", "${T}-${{ 'e' }}", "${X:-${T}}"])
def test_a_variable_is_no_expression(value: str, around: str) -> None:
    """What is in a variable is put into a template as it is; nothing in it is evaluated."""
    environ = {"T": value}
    text, _ = substitute(around, environ, Kind.TEMPLATE)
    expected = around.replace("${X:-${T}}", "${T}").replace("${{ 'e' }}", "e")
    assert evaluated(text) == expected.replace("${T}", value)
    plain, _ = substitute(around.replace("${{ 'e' }}", "e"), environ)
    assert plain == expected.replace("${T}", value)


@pytest.mark.parametrize(
    ("first", "second", "after"),
    [("$", "{{ event.id }}", ""), ("${", "{ event.id }}", ""), ("$", "", "${{ 'e' }}")],
)
def test_two_variables_make_no_expression(first: str, second: str, after: str) -> None:
    """Nor what two of them make together, nor does one of them take an expression away."""
    text, _ = substitute("${F}${S}" + after, {"F": first, "S": second}, Kind.TEMPLATE)
    assert evaluated(text) == first + second + ("e" if after else "")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("event.data.n > ${N}", "event.data.n > 5"),
        ("event.data.n > ${NEGATIVE}", "event.data.n > (-5)"),
        ("1 -${NEGATIVE}", "1 -(-5)"),
        ("event.data.n > ${X:-7}", "event.data.n > 7"),
        ("${YES} && event.data.ok", "true && event.data.ok"),
        ("event.type in ${LIST}", 'event.type in ["a", "b"]'),
        ("event.type == ${TEXT}", 'event.type == "a"'),
        ("${MAP}.a == 1", '{"a": {"b": null}}.a == 1'),
        ("event.data.f > ${FLOAT}", "event.data.f > 1.5"),
        ('event.t == "$${A}"', 'event.t == "${A}"'),
        ('event.t == "$A"', 'event.t == "$A"'),
        ("event.t.matches(r\"${A}\\.\")", "event.t.matches(r\"alpha\\.\")"),
        ("event.t == \"${X:-it's}\"", "event.t == \"it\\'s\""),
        ("event.t == '${EMPTY}'", "event.t == ''"),
        ("${FILTER}", 'event.type == "a"'), (" ${FILTER} ", 'event.type == "a"'),
        ("${X:-event.t == '${QUOTE}'}", "event.t == '\\' || true || \\''"),
        ("${FILTER:+event.t == '${QUOTE}'}", "event.t == '\\' || true || \\''"),
        ("${X:-${FILTER}}", 'event.type == "a"'),
        ("${{ ${FILTER:-true} }}", None), ("${FILTER} && true", None), ("true && ${X}", None),
        ("true && ${EMPTY}", None), ("event.n > ${HUGE}", None), ("event.n > ${NAN}", None),
        ("event.n > ${DEEP}", None), ("event.t == r'${QUOTE}'", None), ("${A}.${A}", None),
        ("event.${A} == 1", None), ("event.t == ${X:-abc}", None),
    ],
)  # fmt: skip
def test_variables_in_a_filter(written: str, value: str | None) -> None:
    """Within quotes text, outside JSON; a filter that is one variable is what that holds."""
    environ = {
        **ENVIRON, "N": "5", "NEGATIVE": "-5", "YES": "true", "LIST": '["a", "b"]', "TEXT": '"a"',
        "MAP": '{"a": {"b": null}}', "FLOAT": "1.5", "FILTER": 'event.type == "a"',
        "QUOTE": "' || true || '", "HUGE": "1e999", "NAN": "NaN", "DEEP": "[" * 100_000,
    }  # fmt: skip
    if value is not None:
        assert substitute(written, environ, Kind.EXPRESSION)[0] == value
        return
    with pytest.raises(VariableError) as caught:
        substitute(written, environ, Kind.EXPRESSION)
    assert "quote" in str(caught.value)
    assert "||" not in str(caught.value)


def test_what_is_not_used_is_not_asked_for() -> None:
    """An expression in a default that is not used needs none of its variables."""
    assert substitute("${A:-${{ event.n > ${X:?never} }}}", ENVIRON) == ("alpha", [])
    assert substitute('${{ event.t == "${X}" }}', ENVIRON)[1] == ["X"]


def test_variables_in_the_routes_of_a_file(tmp_path: Path) -> None:
    """By their place in the file: filters, templates and everything else."""
    file = tmp_path / "c.yaml"
    file.write_text(
        """
workers: {}
listeners:
  "l":
    source: webhook
    options: {path: "/$${{ ${A} }}"}
    routes:
      - start: "W$${{"
        when: event.data.t == "${QUOTE}"
        id: "$${{ ${CODE} }}"
        args: ["${CODE}", {when: "$${{ a }}", deep: ["x-${{ '${QUOTE}' }}"]}]
        memo: {m: "$${A}"}
      - start: W
        when: ${{ event.data.t == "${QUOTE}" && event.data.n > ${N} }}
      - start: W
        when: event.data.t == ${QUOTE}
""",
        encoding="utf-8",
    )
    quote = "' || \" || true"
    loaded = load(file, {**ENVIRON, "QUOTE": quote, "CODE": "${{ event.id }}", "N": "1"})
    found = [problem for problem in loaded.problems if problem.severity == "error"]
    places = [(str(problem.spot).rpartition(":")[0][-2:], problem.message) for problem in found]
    message = (
        "${QUOTE} stands in an expression: there its value must be a number, true, false or"
        ' other JSON; a text is written with quotes around it: "${QUOTE}"'
    )
    assert places == [("16", message)]
    routes = loaded.tree.data()["listeners"]["l"]["routes"]
    assert routes[0]["start"] == "W${{"
    assert loaded.tree.data()["listeners"]["l"]["options"] == {"path": "/${{ alpha }}"}
    assert evaluated(routes[0]["id"]) == "${{ ${{ event.id }} }}"
    assert evaluated(routes[0]["args"]) == [
        "${{ event.id }}",
        {"when": "${{ a }}", "deep": ["x-" + quote]},
    ]
    assert evaluated(routes[0]["memo"]) == {"m": "${A}"}
    for text, expected in ((quote, True), ("other", False)):
        scope = Scope(Event(id="1", source="s", type="t", data={"t": text, "n": 2}))
        assert Expression(routes[0]["when"]).is_true(scope) is expected
        assert Template(routes[1]["when"]).render(scope) is expected


def test_every_template_of_a_route_is_known() -> None:
    """The keys that hold `${{ … }}` are those whose literal `$${{` is left for the route."""
    source = Path(compile_module.__file__).read_text(encoding="utf-8")
    found = set(re.findall(r"self\._template\(\s*\"(\w+)\"", source))
    assert found | set(re.findall(r"loc: Loc = \(\"(\w+)\"", source)) == set(TEMPLATES)
