"""A Docker engine from Python: commands, images built once, and whether there is an engine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.azure.azurite import FOLDER as AZURITE
from tests.azure.azurite import install_azurite
from tests.support import ROOT

IMAGES = Path(__file__).parent / "images"
_OURS = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
"""How a machine's pip may be configured; what is set reaches the build stages."""
_SOCKET = "/var/run/docker.sock"


def run(
    *command: object,
    within: float = 120,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is in the error when it fails."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


def docker(*arguments: object, within: float = 120) -> str:
    """Run `docker …`; what it printed on stdout."""
    return run("docker", *arguments, within=within).stdout.strip()


def missing() -> str:
    """Why there can be no container tests here; empty where there can."""
    if os.environ.get("CONTAINERS") != "1":
        return "`make containers` runs these"
    if not shutil.which("docker") or not shutil.which("docker-compose"):
        return "there is no docker or no docker-compose"
    if run("docker", "info", check=False).returncode:
        return "no Docker engine runs"
    return ""


def build(name: str, context: Path, dockerfile: Path | None = None) -> str:
    """Build an image with the engine's cache; its name."""
    image = f"temporal-runner-tests/{name}:{_OURS}"
    arguments = [f"--build-arg={name}" for name in _PIP if os.environ.get(name)]
    dockerfile = dockerfile or context / "Dockerfile"
    docker("build", "-q", "-t", image, *arguments, "-f", dockerfile, context, within=550)
    return image


def runner_image() -> str:
    """The project's own image."""
    return build("runner", ROOT)


def emulator_images() -> dict[str, str]:
    """The images of emulators.yml, by the variables that it names them with."""
    install_azurite()
    folder = IMAGES / "azurite"
    shutil.copy(folder / "requirements.txt", AZURITE)
    return {
        "MOTO_IMAGE": build("moto", IMAGES / "moto"),
        "AZURITE_IMAGE": build("azurite", AZURITE, folder / "Dockerfile"),
    }


def compose_1() -> list[str]:
    """docker-compose, of the machine."""
    return ["docker-compose"]


def compose_2() -> list[str]:
    """Compose v2, which Debian has in its next release: in a container, with the engine's socket.

    What it is asked to read lies below the checkout, or below the folder of temporary files.
    """
    image = build("compose-v2", IMAGES / "compose-v2")
    folders = {str(ROOT), tempfile.gettempdir()}
    mounts = [f"--volume={folder}:{folder}" for folder in (*folders, _SOCKET)]
    return ["docker", "run", "--rm", *mounts, f"--workdir={ROOT}", image]
