"""`runner new-plugin`: what it writes is installed, run, type-checked and tested as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.installed import install_offline, path_with
from tests.support import BIN, ROOT, RunnerProcess, TemporalServer, run_runner, wait_until


@dataclass(frozen=True)
class Generated:
    """A generated project, and where it is installed."""

    project: Path
    installed: Path

    def run(self, *command: object) -> str:
        """Run a tool in the project as its author would, and return what it says."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.project,
            env={**os.environ, **path_with(self.installed)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The plugin `letter-box`, written and installed outside the project."""
    code, output = run_runner("new-plugin", "letter-box", "--into", tmp_path_factory.mktemp("new"))
    assert code == 0, output
    project = Path(output.partition(": written.")[0])
    installed = tmp_path_factory.mktemp("installed")
    install_offline(installed, project)
    return Generated(project, installed)


def test_it_writes_a_complete_package(generated: Generated) -> None:
    """Everything that a package has is there, with the plugin's name in it and no gaps."""
    files = {path.relative_to(generated.project).as_posix(): path for path in _files(generated)}
    package = "temporal_runner_letter_box"
    assert files.keys() == {
        *("pyproject.toml", "README.md", "tests/test_source.py"),
        *(f"{package}/{name}.py" for name in ("__init__", "hooks", "config", "source")),
        f"{package}/py.typed",
    }
    written = "".join(path.read_text(encoding="utf-8") for path in files.values())
    assert "$" not in written.replace("${{ event.data }}", "")
    assert 'letter-box = "temporal_runner_letter_box.hooks"' in written


def test_its_tests_pass(generated: Generated) -> None:
    """Its own tests, the conformance kit's among them, pass as they are written."""
    said = generated.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in said
    assert "failed" not in said


def test_it_type_checks(generated: Generated, tmp_path: Path) -> None:
    """`mypy`, strict by its own configuration, finds nothing."""
    assert "Success" in generated.run(BIN / "mypy", "--cache-dir", tmp_path / "mypy")


def test_it_is_in_style(generated: Generated) -> None:
    """Its imports are in order and its lines are formatted as ruff likes them."""
    style = ["--config", ROOT / "pyproject.toml", "--no-cache"]
    ours = ["--config", "src=['.']", "--ignore", "D102"]
    generated.run(BIN / "ruff", "format", "--check", *style, ".")
    generated.run(BIN / "ruff", "check", *style, *ours, ".")


async def test_it_runs(
    generated: Generated,
    temporal_server: TemporalServer,
    client: Client,
    start_runner: Callable[..., RunnerProcess],
    write_config: WriteConfig,
    tmp_path: Path,
) -> None:
    """Installed and named in a config, its source starts a workflow for a file."""
    letters = tmp_path / "letters"
    letters.mkdir()
    config = write_config(
        dedent(
            f"""
            temporal: {{address: "{temporal_server.address}"}}
            listeners:
              letters:
                source: letter-box
                options: {{folder_path: letters, poll_interval: 50ms}}
                routes:
                  - start: ReadLetter
                    task_queue: nobody
                    id: {tmp_path.name}-${{{{ event.subject }}}}
                    args: ["${{{{ event.data }}}}"]
            """
        )
    )
    runner = start_runner("start", config, env=path_with(generated.installed))
    runner.wait_for(f"*.json in {letters}")
    (letters / "first.new").write_text('{"text": "dear all"}', encoding="utf-8")
    (letters / "first.new").rename(letters / "first.json")
    wait_until(lambda: not list(letters.iterdir()), what="the file to be acknowledged")
    handle = client.get_workflow_handle(f"{tmp_path.name}-first")
    assert (await handle.describe()).workflow_type == "ReadLetter"
    assert runner.stop() == 0
    await handle.terminate()


@pytest.mark.parametrize(
    "name", ["Letter", "letter_box", "-x", "a--b", "1st", "a/b", "lettér", "a "]
)
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    """A name that is no name of a package is one line and exit code 2, and nothing is written."""
    code, output = run_runner("new-plugin", "--into", tmp_path, "--", name)
    assert code == 2
    assert output == f"{name}: a plugin's name is lower-case letters, digits and single dashes\n"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """It overwrites nothing."""
    (tmp_path / "temporal-runner-mine").mkdir()
    code, output = run_runner("new-plugin", "mine", "--into", tmp_path)
    assert code == 2
    assert "is there already" in output
    assert not list((tmp_path / "temporal-runner-mine").iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A place where nothing can be written is one line, not a traceback."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    code, output = run_runner("new-plugin", "mine", "--into", tmp_path / "file")
    assert code == 2
    assert "cannot be written: Not a directory" in output
    assert "Traceback" not in output


def _files(generated: Generated) -> list[Path]:
    ignored = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
    return [
        path
        for path in generated.project.rglob("*")
        if path.is_file() and not ignored & set(path.parts)
    ]
