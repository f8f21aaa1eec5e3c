"""docs/how-to/connection-retry.md names every parameter of what it describes."""

from __future__ import annotations

import re
import subprocess
import sys
from inspect import signature

from temporal_runner import connect_to_temporal_with_retry
from temporal_runner.config.model import RetrySettings
from tests.support import ROOT, run_runner

PAGE = (ROOT / "docs" / "how-to" / "connection-retry.md").read_text()


def named(begin: str, end: str) -> set[str]:
    """The options in the first column of a part's table."""
    part = PAGE[PAGE.index(begin) : PAGE.index(end)]
    return set(re.findall(r"^\| `(-*[a-zA-Z_-]+)[^`]*` \|", part, re.MULTILINE))


def options(help_text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}


def test_the_page_has_each_option_of_retry() -> None:
    """The table is the config's model."""
    assert named("## Solution 1", "### `runner wait`") == set(RetrySettings.model_fields)


def test_the_page_has_each_option_of_runner_wait() -> None:
    """The table is what --help says."""
    code, output = run_runner("wait", "--help")
    assert code == 0
    found = named("### `runner wait`", "### In your own code")
    assert found - {"CONFIG", "--"} == options(output)


def test_the_page_has_each_parameter_of_the_function() -> None:
    """All but those that say where."""
    part = PAGE[PAGE.index("### In your own code") : PAGE.index("## Solution 2")]
    parameters = set(signature(connect_to_temporal_with_retry).parameters)
    own = parameters - {"address", "namespace", "arguments"}
    assert own <= set(re.findall(r"`(\w+)`", part))


def test_the_page_has_each_option_of_the_script() -> None:
    """The table is what --help says."""
    script = [sys.executable, str(ROOT / "deploy" / "wait_for_temporal.py"), "--help"]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    found = named("## Solution 2", "Durations are numbers")
    assert found - {"--"} == options(done.stdout)
