"""The command line's own load, and `runner plugins`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import free_port, run_runner

SLOW = {
    *("temporalio", "pydantic", "pluggy", "yaml", "backoff", "cel"),
    *("boto3", "botocore", "aiobotocore", "azure", "aiohttp", "jwt"),
}
"""What takes long to import: vendors' SDKs, and what only some commands need."""

BY_TYPER = {"pydantic"}
"""What typer (0.29) itself loads as soon as a command has a parameter."""


def imported_by(*arguments: str) -> set[str]:
    """The top-level packages that a `runner` command loads."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', *{m.partition('.')[0] for m in sys.modules}))\n"
        f"sys.argv = {['runner', *arguments]!r}\n"
        "from temporal_runner.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return set(done.stdout.partition("LOADED ")[2].split())


def test_help_loads_no_sdk() -> None:
    """Help is quick: it loads no vendor's SDK, not temporalio, not even pydantic or YAML."""
    loaded = imported_by("--help")
    assert "typer" in loaded
    assert not loaded & SLOW


@pytest.mark.parametrize("command", ["start", "health", "plugins"])
def test_help_of_a_command_loads_no_sdk(command: str) -> None:
    """A command's own help loads nothing of ours beyond its line of options."""
    assert imported_by(command, "--help") & SLOW <= BY_TYPER


def test_health_loads_next_to_nothing() -> None:
    """A container's health check runs every few seconds, and needs the standard library alone."""
    loaded = imported_by("health", "--url", f"http://127.0.0.1:{free_port()}/readyz")
    assert "http" in loaded
    assert not loaded & {*SLOW, *BY_TYPER, "asyncio", "typer", "typing"}


@pytest.mark.parametrize(
    ("url", "code"), [("http://127.0.0.1:{port}/readyz", 1), ("ftp://here", 2), ("", 2)]
)
def test_health_says_the_same_with_and_without_typer(url: str, code: int) -> None:
    """The short way and typer's give the same answer: `--url=X` goes the long one."""
    url = url.format(port=free_port())
    short = run_runner("health", "--url", url)
    assert short == run_runner("health", f"--url={url}")
    assert short[0] == code
    assert short[1]


def test_health_has_typers_help_and_errors() -> None:
    """What the short way does not know is typer's."""
    code, output = run_runner("health", "--help")
    assert code == 0
    assert "http://127.0.0.1:8088/readyz" in output
    for wrong in ("extra", "--bogus", "--url"):
        code, output = run_runner("health", wrong)
        assert code == 2
        assert "rror" in output


def test_plugins_loads_no_vendors_sdk() -> None:
    """Listing plugins imports what they declare, not what they use."""
    loaded = imported_by("plugins")
    assert "pluggy" in loaded
    assert not loaded & {"temporalio", "boto3", "botocore", "aiobotocore", "azure", "aiohttp"}


def test_validate_loads_no_server(tmp_path: Path) -> None:
    """A config with ports, keys to fetch and all is checked without aiohttp."""
    jwt = {
        "scheme": "jwt",
        "issuer": "https://i.example",
        "audience": "us",
        "algorithms": ["RS256"],
        "jwks_url": "https://i.example/keys",
    }
    listener = {
        "source": "webhook",
        "options": {"verify": jwt},
        "routes": [{"start": "A", "task_queue": "q", "id": "a"}],
    }
    config = {
        "temporal": {"address": "localhost:7233"},
        "admin": {"port": 8088},
        "listeners": {"hook": listener},
    }
    file = tmp_path / "runner.yaml"
    file.write_text(json.dumps(config))
    loaded = imported_by("validate", str(file))
    assert "temporal_runner_webhook" in loaded
    assert "aiohttp" not in loaded


def test_plugins_lists_ours_for_people() -> None:
    """Each event source and strategy is a line: kind, name, distribution, version, summary."""
    code, output = run_runner("plugins")
    assert code == 0
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert any(line.startswith("event source webhook temporal-runner-webhook ") for line in lines)
    assert any(line.startswith("backoff strategy decorrelated temporal-runner ") for line in lines)


def test_plugins_is_for_programs_too() -> None:
    """`--json` has the same, and what did not load."""
    code, output = run_runner("plugins", "--json")
    assert code == 0
    listed = json.loads(output)
    strategies = [row for row in listed["plugins"] if row["kind"] == "backoff strategy"]
    assert {row["name"] for row in strategies} >= {
        *("exponential", "fibonacci", "constant", "decorrelated")
    }
    assert listed["broken"] == []
