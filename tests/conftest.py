"""Fixtures for all tests: a real Temporal server, configs in files, a runner as a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.faults.ledger import LEDGER, as_table
from tests.support import RunnerProcess, TemporalServer

WriteConfig = Callable[..., Path]


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[TemporalServer]:
    """One Temporal dev server, in memory, for every test that does not harm it."""
    with TemporalServer() as server:
        server.wait_serving()
        yield server


@pytest.fixture
def own_temporal_server(tmp_path: Path) -> Iterator[TemporalServer]:
    """A server of the test's own, not started yet, that keeps its database across restarts."""
    with TemporalServer(database=tmp_path / "temporal.db", start=False) as server:
        yield server


@pytest.fixture
async def client(temporal_server: TemporalServer) -> Client:
    """A plain SDK client of the shared server."""
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Write a config (or any file) into the test's folder: `write_config(text, name=…)`."""

    def write(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Note a measured figure: `figure("ready after", "0.3 s")`; all are printed at the end."""

    def note(name: str, value: object) -> None:
        request.node.user_properties.append((name, str(value)))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured, with several processes too."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    noted = [
        (report.nodeid.split("::")[-1], name, value)
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
    ]
    lines = sorted(f"{test}: {name}: {value}" for test, name, value in noted if name != LEDGER)
    ledger = sorted(value for _, name, value in noted if name == LEDGER)
    for title, content in (("figures", lines), (LEDGER, as_table(ledger) if ledger else [])):
        if content:
            terminalreporter.section(title)
            for line in content:
                terminalreporter.write_line(line)


@pytest.fixture
def start_runner() -> Iterator[Callable[..., RunnerProcess]]:
    """Start `runner …` as a process; what still runs at the end is ended."""
    processes: list[RunnerProcess] = []

    def start(*arguments: object, **options: object) -> RunnerProcess:
        process = RunnerProcess(*arguments, **options)  # type: ignore[arg-type]
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.end()
