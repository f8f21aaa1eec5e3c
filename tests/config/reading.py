"""How these tests read a config: its problems as short lines, with imports undone afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from temporal_runner.config.load import LoadedConfig, load
from temporal_runner.config.problems import ConfigError, Problem
from temporal_runner.plan import Plan, make_plan
from temporal_runner.plugin.catalog import Catalog

WORKER = """\
workers:
  orders:
    task_queue: orders
    workflows: [shop_flows:FulfilOrder]
    activities: [shop_flows:ship_order]
"""
"""A sound worker; `write_flows` writes its module."""

FLOWS = """
from temporalio import activity, workflow

@workflow.defn
class FulfilOrder:
    @workflow.run
    async def run(self, order: dict) -> None: ...

@workflow.defn(name="Refund")
class RefundOrder:
    @workflow.run
    async def run(self, order: dict) -> None: ...

@activity.defn
def ship_order(order: dict) -> None: ...

@activity.defn(name="weigh")
def weigh_order(order: dict) -> None: ...

def no_activity(): ...

class NoWorkflow: ...
"""


def write_flows(folder: Path, text: str = FLOWS, name: str = "shop_flows") -> None:
    """Write a module of workflows and activities."""
    (folder / f"{name}.py").write_text(dedent(text))


@pytest.fixture(autouse=True)
def fresh_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules in the test's folder can be imported, and are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


def read(path: Path, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Load with no environment but that which the test gives."""
    return load(path, environ or {})


def plan_of(
    path: Path, environ: Mapping[str, str] | None = None, only: tuple[str, ...] = ()
) -> Plan:
    """Load and plan."""
    return make_plan(read(path, environ), Catalog.installed(), only)


def found(path: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """All that `runner validate` finds, each as `[file:]line:column path: message`."""
    return [line_of(problem, path) for problem in problems(path, environ)]


def problems(path: Path, environ: Mapping[str, str] | None = None) -> list[Problem]:
    """All that `runner validate` finds."""
    try:
        return list(plan_of(path, environ).warnings)
    except ConfigError as error:
        return list(error.problems)


def line_of(problem: Problem, path: Path) -> str:
    """A problem in one line; the file is named where it is not the one that was asked for."""
    spot = problem.spot
    file = f"{spot.file.name}:" if spot and spot.file != path else ""
    place = f"{file}{spot.line}:{spot.column} " if spot else ""
    warning = "warning: " if problem.severity == "warning" else ""
    return f"{place}{warning}{problem.path}{': ' if problem.path else ''}{problem.message}"
