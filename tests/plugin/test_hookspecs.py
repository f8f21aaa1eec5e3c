"""The hooks are documented, and their examples work as they stand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from temporal_runner import plugin
from temporal_runner.plugin import hookspecs
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.plugin.sources import EventSourceKind
from temporal_runner.retry.backoff import Backoff, BackoffKind, Timing
from temporal_runner.testing import EventSourceConformance
from tests.support import ROOT

REFERENCE = (ROOT / "docs" / "reference" / "plugins.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "write-a-plugin.md").read_text(encoding="utf-8")
SPECS = {
    name: function
    for name, function in vars(hookspecs).items()
    if hasattr(function, f"{hookspecs.PROJECT}_spec")
}


def code_blocks(text: str) -> list[str]:
    return [dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def test_there_are_hooks() -> None:
    """What the tests below go through is not empty."""
    assert SPECS.keys() == {"runner_event_sources", "runner_backoff_strategies"}


@pytest.mark.parametrize("name", SPECS)
def test_each_hook_is_documented(name: str) -> None:
    """A hook without a section of its own in the reference is not finished."""
    assert f"### `{name}`\n" in REFERENCE


@pytest.mark.parametrize("name", plugin.__all__)
def test_each_name_for_plugin_authors_is_documented(name: str) -> None:
    """What plugin authors may import has a row in the reference."""
    assert f"| `{name}` |" in REFERENCE


@pytest.mark.parametrize("kind", [EventSourceKind, BackoffKind])
def test_each_field_of_a_declaration_is_documented(kind: type[Any]) -> None:
    """The reference has each field of the records that hooks yield."""
    table = REFERENCE.split(f"| field of `{kind.__name__}` |")[1].split("\n\n")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert documented == [field.name for field in fields(kind)]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_the_examples_work(spec: Callable[[], Any], tmp_path: Path) -> None:
    """The example of each specification is a plugin, and the reference has the same one."""
    (example,) = code_blocks(inspect.getdoc(spec) or "")
    assert example in code_blocks(REFERENCE)
    path = tmp_path / "example.py"
    path.write_text(example, encoding="utf-8")
    catalog = Catalog()
    built_in = len(catalog.strategies.kinds)
    catalog.add_file(path)
    assert len(catalog.sources.kinds) + len(catalog.strategies.kinds) == built_in + 1


def test_a_hook_takes_nothing_and_waits_for_nothing() -> None:
    """Hooks declare: none has parameters, none is a coroutine."""
    for spec in SPECS.values():
        assert not inspect.signature(spec).parameters
        assert not inspect.iscoroutinefunction(spec)


def test_the_how_tos_strategy_works(tmp_path: Path) -> None:
    """The strategy that the how-to writes is a plugin, with the delays that it speaks of."""
    (example,) = [block for block in code_blocks(HOW_TO) if "runner_backoff_strategies" in block]
    path = tmp_path / "example.py"
    path.write_text(example, encoding="utf-8")
    catalog = Catalog()
    catalog.add_file(path)
    kind = catalog.strategies.get("steps")
    backoff = Backoff(
        kind.name,
        catalog.strategies.build("steps"),
        Timing(1, 30),
        kind.options.model_validate({"step": 2.5}),
        "none",
    )
    delays = backoff.delays()
    assert [delays.next(OSError()) for _ in range(3)] == [1, 3.5, 6]


def test_the_how_to_names_each_case_of_the_kit() -> None:
    """A plugin's author can look up what a failing case means."""
    cases = [name for name in vars(EventSourceConformance) if name.startswith("test_")]
    missing = [
        case
        for case in cases
        if f"| {case.removeprefix('test_').replace('_', ' ')} |" not in HOW_TO
    ]
    assert not missing


def test_the_how_to_uses_what_the_kit_has() -> None:
    """Capabilities, hooks and helpers that the how-to shows are there."""
    shown = next(block for block in code_blocks(HOW_TO) if "EventSourceConformance)" in block)
    names = re.findall(r"^    (?:async def |def )?([a-z]\w+)(?:\(| = )", shown, re.MULTILINE)
    assert len(names) > 8
    assert all(hasattr(EventSourceConformance, name) for name in names)
    assert all(f"`{name}" in HOW_TO for name in ("RecordingDeliver", "MemoryQueue"))
