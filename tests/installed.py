"""Installs distributions for real into a folder of the test's own, with uv or pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support import ROOT

CACHE = ROOT / ".pytest_cache" / "distributions"
"""What tests fetch is kept here, where no later run has to fetch it again."""


def install(target: Path, *what: object) -> subprocess.CompletedProcess[str]:
    """Install requirements (or folders) without their dependencies into `target`."""
    command = [*_installer(), "--quiet", "--no-deps", "--target", str(target), *map(str, what)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def install_offline(target: Path, *projects: Path) -> None:
    """Build and install projects from their folders, with what is installed here and no network."""
    done = install(target, "--no-index", "--no-build-isolation", *projects)
    assert done.returncode == 0, done.stdout + done.stderr


def skip_or_fail(reason: str) -> None:
    """Skip what this machine has no means for; in CI it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _installer() -> list[str]:
    if util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    own = ROOT / ".tools" / "bin" / "uv"
    uv = shutil.which("uv") or (str(own) if own.exists() else None)
    if uv is None:
        skip_or_fail("neither pip nor uv is there to install a distribution with")
    return [str(uv), "pip", "install", "--python", sys.executable]


def write_distribution(
    folder: Path, name: str, entry_points: dict[str, str], **modules: str
) -> Path:
    """Write the project of a runner plugin: its modules and its entry points, ready to install."""
    points = "\n".join(f'{point} = "{target}"' for point, target in entry_points.items())
    project = folder / name
    project.mkdir(parents=True)
    for module, text in modules.items():
        (project / f"{module}.py").write_text(dedent(text), encoding="utf-8")
    files = ", ".join(f'"{module}.py"' for module in modules)
    (project / "pyproject.toml").write_text(
        f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.2.3"

[project.entry-points.temporal_runner]
{points}

[tool.hatch.build.targets.wheel]
only-include = [{files}]
""",
        encoding="utf-8",
    )
    return project


def path_with(target: Path) -> dict[str, str]:
    """The environment of a process that sees what was installed into `target`."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{target}{os.pathsep}{before}" if before else str(target)}
