"""`${VAR}` in values, by Compose's rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_runner.config.variables import VariableError, substitute

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
        ("${{ {'a': {'b': '${A}'}} }}-${A}", "${{ {'a': {'b': '${A}'}} }}-alpha"),
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
