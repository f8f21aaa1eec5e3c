"""Each place that takes bytes from outside: its nasty seeds, and what hypothesis makes of them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds_of
from tests.fuzz.targets import TARGETS

BOUNDED = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""The same examples at each run; `make fuzz` looks for others."""
_LONGEST = 3000
"""Bytes of the seeds that are changed: the long ones are about their length."""

BYTES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"\0", b"\n", b"\xff", b"\xed\xa0\x80", b"1e999", b"NaN", b'"', b"[", b"}"]),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["", "2026-01-31", "1.0", "application/json", 10**400, "\0", "\ud800"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def spliced(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a piece of it replaced, by other bytes or by a piece of another seed."""
    seed: bytes
    other: bytes
    seed, other = draw(st.sampled_from(seeds)), draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(seed))] * 2)))
        piece = draw(BYTES | st.just(other[start:end]))
        seed = seed[:start] + piece + seed[end:]
    return seed


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    for step, inner in steps:
        within = isinstance(inner, dict | list)
        found += places(inner, (*path, step)) if within else [(*path, step)]
    return found


@st.composite
def changed(draw: st.DrawFn, seeds: list[tuple[bytes, Any]]) -> bytes:
    """A seed that ends in JSON with one place of it replaced by any value."""
    head: bytes
    head, content = draw(st.sampled_from(seeds))
    content = json.loads(json.dumps(content))
    path = draw(st.sampled_from(places(content)))
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = draw(VALUES)
    return head + json.dumps(content).encode()


@cache
def _with_json(target: str) -> list[tuple[bytes, Any]]:
    """The seeds that end in a JSON object or list, each parted before it."""
    found = []
    for seed in _short_seeds(target):
        head, separator, body = seed.rpartition(b"\n")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict | list) and content and places(content):
            found.append((head + separator, content))
    return found


@cache
def _short_seeds(target: str) -> list[bytes]:
    return [seed for seed in seeds_of(target) if len(seed) <= _LONGEST]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    """What is nasty by design, and what once broke something."""
    for index, seed in enumerate(seeds_of(target)):
        try:
            TARGETS[target](seed)
        except BaseException as error:
            error.add_note(f"seed {index}: {seed[:200]!r}")
            raise


@pytest.mark.parametrize("target", TARGETS)
@BOUNDED
@given(data=st.data())
def test_any_bytes(target: str, data: st.DataObject) -> None:
    """Bytes of no form, and bytes that nearly have one."""
    TARGETS[target](data.draw(st.binary(max_size=200) | spliced(_short_seeds(target))))


@pytest.mark.parametrize("target", [name for name in TARGETS if _with_json(name)])
@BOUNDED
@given(data=st.data())
def test_any_json(target: str, data: st.DataObject) -> None:
    """Sound JSON in which one value is another than the sender would put there."""
    TARGETS[target](data.draw(changed(_with_json(target))))
