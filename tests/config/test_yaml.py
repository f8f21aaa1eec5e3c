"""YAML as the config has it: 1.2's scalars, no key twice, every fault at its line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from temporal_runner.config.problems import Problem
from temporal_runner.config.yaml_tree import Node, compose, resolve_scalar

FILE = Path("/config.yaml")


def composed(text: str) -> tuple[Node | None, list[str]]:
    problems: list[Problem] = []
    tree = compose(text, FILE, problems)
    places = [f"{p.spot.line}:{p.spot.column}" if p.spot else "" for p in problems]
    return tree, [f"{at} {p.message}" for at, p in zip(places, problems, strict=True)]


def data(text: str) -> Any:
    tree, problems = composed(text)
    assert tree is not None
    assert problems == []
    return tree.data()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("22:22", "22:22"), ("1_000", "1_000"), ("0b1", "0b1"), ("2026-01-01", "2026-01-01"),
        ("0o17", 15), ("017", 17), ("0x1F", 31), ("-3", -3), ("+3", 3), ("0", 0),
        ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("2.", 2.0), ("-1E-2", -0.01),
        ("true", True), ("True", True), ("false", False), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ("Null", None), ("none", "none"),
        (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"), ("-", "-"), ("0x", "0x"),
        ("1.2.3", "1.2.3"), ("1e", "1e"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """An unquoted scalar means what YAML 1.2's core schema says, and not YAML 1.1's `no`."""
    resolved = resolve_scalar(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_quotes_make_a_text() -> None:
    """A number in quotes is a text."""
    assert data("a: [1, '1', \"true\", 'null']\nb: |-\n  12\n") == {
        "a": [1, "1", "true", "null"],
        "b": "12",
    }


def test_every_value_knows_its_place() -> None:
    """Values and keys carry line and column, counted in characters from 1."""
    tree, _ = composed("größe: {ä: [x, 'y']}\nb:\n  - c: 1\n")
    assert tree is not None
    second, steps = tree.follow(("größe", "ä", 1))
    assert (second.spot.line, second.spot.column) == (1, 16)
    assert steps == ("größe", "ä", 1)
    entry, _ = tree.follow(("b", 0, "c"))
    assert (entry.spot.line, entry.spot.column) == (3, 8)
    assert entry.key is not None
    assert (entry.key.line, entry.key.column) == (3, 5)


def test_merge_keys() -> None:
    """`<<` takes over what a mapping does not say itself; of several the first wins."""
    text = """
base: &base {a: 1, b: 1}
more: &more {b: 2, c: 2}
one: {<<: *base, b: 9}
two: {<<: [*base, *more], d: 3}
"""
    merged = data(text)
    assert merged["one"] == {"a": 1, "b": 9}
    assert merged["two"] == {"a": 1, "b": 1, "c": 2, "d": 3}


def test_quoted_merge_key_is_a_key() -> None:
    """A `<<` in quotes is a key like any other."""
    assert data("{'<<': {a: 1}}") == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "3:1 the key 'a' stands twice, first in line 1"),
        ("x:\n  {a: 1, a: 2}", "2:10 the key 'a' stands twice, first in line 2"),
        ("x: &x [1, *x]", "1:4 an alias stands within its own anchor"),
        ("x: &x {a: {b: *x}}", "1:4 an alias stands within its own anchor"),
        ("x: !env FOO", "1:4 the tag !env is not supported"),
        ("x: !!int '5'", "1:4 the tag !!int is not supported"),
        ("x: !!python/object:os.system {}", "1:4 the tag !!python/object:os.system is not"),
        ("? [a]\n: b", "1:3 a key must be a text"),
        ("<<: 5", "1:5 << takes a mapping or a list of them"),
        ("a: [1, 2", "2:1 not valid YAML: while parsing a flow sequence: did not find"),
        ("a: b: c", "1:5 not valid YAML: mapping values are not allowed in this context"),
        ("a:\n\tb: 1", "2:1 not valid YAML: while scanning for the next token: found character"),
        ("a: *nobody", "1:4 not valid YAML: found undefined alias"),
        ("a: 'open\nb: 1", "1:4 not valid YAML: while scanning a quoted scalar"),
        ("a: 1\n---\nb: 2", "2:1 not valid YAML: expected a single document"),
        ("a: 1\nb: \x00", "2:4 not valid YAML: the character #x00 is not allowed"),
        ("", "1:1 the file is empty"),
        ("# only a comment\n", "1:1 the file is empty"),
    ],
)  # fmt: skip
def test_faults_stand_at_their_place(text: str, problem: str) -> None:
    """What is not sound YAML is reported once, at its line and column."""
    _, problems = composed(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_tab_indentation_gets_a_hint() -> None:
    """A tab's obscure message says that YAML is indented with spaces."""
    _, problems = composed("a:\n\tb: 1")
    assert problems[0].endswith("YAML is indented with spaces, not tabs")


@pytest.mark.parametrize("text", ["a: [${{ event.data }}]", "a: {b: ${{ event.id }}}", "a: [${B}]"])
def test_unquoted_expressions_get_a_hint(text: str) -> None:
    """Braces without quotes in a flow list are answered with what to write."""
    _, problems = composed(text)
    assert problems[0].startswith("1:")
    assert problems[0].endswith("between [ ] or { } a text with ${ in it needs quotes")


def test_aliases_cannot_multiply_without_bound() -> None:
    """A billion laughs is refused, and soon."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    tree, problems = composed("\n".join(lines))
    assert tree is None
    assert "more than 200000 values" in problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000 + "]" * 200_000,
        "{" * 5000 + "}" * 5000,
        "- " * 5000,
        "\n".join(" " * depth + "a:" for depth in range(500)),
        "a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 1000)),
    ],
    ids=["lists", "mappings", "items", "indentation", "aliases"],
)
def test_deep_nesting_is_refused(text: str) -> None:
    """Nesting that would overrun the stack of PyYAML's C code ends in a problem, not a crash."""
    tree, problems = composed(text)
    assert tree is None
    # libyaml 0.2.6 has a limit of its own for brackets, above ours.
    assert "nested more than 100 deep" in problems[0] or "maximum nesting" in problems[0]


def test_many_openers_that_do_not_nest_are_fine() -> None:
    """The guard against depth counts depth, not brackets."""
    assert len(data("\n".join(["- {a: [1], b: '[[[['}"] * 500))) == 500
