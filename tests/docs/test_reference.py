"""The reference pages say what the code does: one is generated, the other's examples are run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from temporal_runner.config.model import RunnerConfig
from temporal_runner.config.workers import WorkerSettings
from temporal_runner.events.event import Event
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope
from temporal_runner.routing.templates import Template
from tests.support import ROOT

CONFIG = (ROOT / "docs/reference/config.md").read_text(encoding="utf-8")
EXPRESSIONS = (ROOT / "docs/reference/expressions.md").read_text(encoding="utf-8")


def test_the_config_page_is_current() -> None:
    """The page is what `make docs` writes from the models now."""
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_the_config_page_has_every_option() -> None:
    """Each option of each section has its row, and each link of the page its section."""
    for model in (RunnerConfig, WorkerSettings):
        for option in model.model_fields:
            assert f"| `{option}` |" in CONFIG
    headings = re.findall(r"^#+ (.*)$", CONFIG, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", CONFIG)) <= anchors


def rows() -> list[tuple[str, str, str]]:
    """The examples: what kind of table it is, the expression, and its result."""
    found, kind = [], ""
    for line in EXPRESSIONS.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not line.startswith("|"):
            kind = ""
        elif not kind:
            kind = cells[0]
        elif kind in ("`when`", "value", "expression") and not cells[0].startswith("---"):
            found.append((kind, cells[0].strip("`").replace("\\|", "|"), cells[1]))
    return found


def sample() -> Scope:
    """The event that the page shows."""
    match = re.search(r"```json\n(.*?)```", EXPRESSIONS, re.DOTALL)
    assert match is not None
    return Scope(Event(**json.loads(match[1])))


def evaluated(kind: str, written: str) -> Any:
    if kind == "`when`":
        return Expression(written).is_true(sample())
    return (Expression(written).evaluate if kind == "expression" else Template(written).render)(
        sample()
    )


@pytest.mark.parametrize(("kind", "written", "result"), rows())
def test_examples_of_expressions(kind: str, written: str, result: str) -> None:
    """Each example gives the result, or the error, that stands beside it."""
    if result.startswith("error: "):
        with pytest.raises(ExpressionError, match=re.escape(result.removeprefix("error: "))):
            evaluated(kind, written)
        return
    value = evaluated(kind, written)
    expected = json.loads(result.strip("`"))
    assert value == expected
    assert type(value) is type(expected)


def test_there_are_examples() -> None:
    """The page's tables are found at all."""
    assert len(rows()) > 30
    assert Expression("double(event.data.order) * 2.0").evaluate(sample()) == 84.0
    with pytest.raises(ExpressionError):
        Expression("event.data.order * 2.0").evaluate(sample())
