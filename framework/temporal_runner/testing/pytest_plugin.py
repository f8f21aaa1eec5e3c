"""Fixtures for the tests of runner plugins: there wherever temporal-runner is installed.

It is loaded with every pytest run there, so it imports nothing until a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from temporal_runner.plugin.catalog import Catalog
    from temporal_runner.plugin.sources import SourceContext
    from temporal_runner.testing.fakes import RecordingDeliver


@pytest.fixture
def source_context() -> SourceContext:
    """What the runner tells a source about its listener, for a listener called `test`."""
    from temporal_runner.testing.fakes import make_context

    return make_context()


@pytest.fixture
def recording_deliver() -> RecordingDeliver:
    """A `deliver` for a push source: acknowledges each delivery, and keeps it."""
    from temporal_runner.testing.fakes import RecordingDeliver

    return RecordingDeliver()


@pytest.fixture
def no_backoff() -> Iterator[None]:
    """Retries follow at once: delays are not waited out in this test."""
    from temporal_runner.retry.connector import no_wait

    with no_wait():
        yield


@pytest.fixture
def plugin_catalog() -> Catalog:
    """What `runner plugins` would list: the installed plugins, this one included."""
    from temporal_runner.plugin.catalog import Catalog

    return Catalog.installed()


@pytest.fixture
def check_config(tmp_path: Path) -> Callable[[str], None]:
    """Check the text of a config as `runner validate` does: `check_config(text)`.

    It raises ConfigError with every problem, and needs no network.
    """

    def check(text: str) -> None:
        from temporal_runner.config.load import load
        from temporal_runner.plan import make_plan
        from temporal_runner.plugin.catalog import Catalog

        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        make_plan(load(path), Catalog.installed())

    return check
