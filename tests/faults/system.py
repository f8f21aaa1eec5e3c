"""A runner between a sender and a Temporal of its own; each is a process that can be killed."""

from __future__ import annotations

import random
import signal
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from temporalio.client import Client

from tests.faults.proxy import Proxy
from tests.support import ROOT, RunnerProcess, TemporalServer, http, wait_until

CONFIG = """\
plugins: [{plugins}]
import_paths: [{root}]
temporal: {{address: "{address}"}}
workers:
  notes:
    task_queue: {name}
    workflows: [tests.faults.flows]
    activities: [tests.faults.flows:note]
listeners:
{listeners}
dead_letters: {{path: "{dead_letters}"}}
admin: {{port: {admin}}}
shutdown_timeout: 30s
"""

LISTENER = """\
  {listener}:
    source: {source}
    options:
      port: {port}
      path: /{listener}
      id_header: X-Event-Id
      verify: {{scheme: none}}
{inbox}\
    routes:
      - {route}
"""
START = '{start: Noted, id: "${{ event.id }}", args: ["${{ event.id }}"]}'


def lasting_port() -> int:
    """A port for a server that goes away and comes back.

    It lies below those that the system gives to outgoing connections: one of these, trying to
    reach the server that is away, could be given its very port, and then it could not come back.
    """
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def webhook(
    listener: str, port: int, *, inbox: str = "", source: str = "webhook", route: str = START
) -> str:
    """A listener's section."""
    kept = f"    inbox: {inbox}\n" if inbox else ""
    return LISTENER.format(listener=listener, port=port, inbox=kept, source=source, route=route)


class System:
    """A Temporal with its database on disk, a proxy before it, and a runner.

    Attributes:
        server: The Temporal server.
        proxy: Between the runner and it.
        runner: The runner that runs now, or ran last.
        name: The worker's task queue.
        port: Of the webhook listeners.
        url: Where events go, but for the path.
        folder: The test's own.
        dead_letters: The runner's own store of them.
    """

    def __init__(
        self, folder: Path, *, direct: bool = False, server_options: Sequence[str] = ()
    ) -> None:
        """Start Temporal, and no runner yet.

        Args:
            folder: Of the test's own.
            direct: Leave the proxy out.
            server_options: More options of Temporal's command.
        """
        self.folder = folder
        self.dead_letters = folder / "dead-letters.db"
        self.server = TemporalServer(
            database=folder / "temporal.db", start=False, more=server_options
        )
        self.server.port = lasting_port()
        self.server.address = f"127.0.0.1:{self.server.port}"
        self.proxy = Proxy(self.server.port, port=lasting_port())
        self.port, self._admin = lasting_port(), lasting_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"faults-{self.port}"
        self.runner: RunnerProcess | None = None
        self._address = self.server.address if direct else f"127.0.0.1:{self.proxy.port}"
        self._config = folder / "faults.yaml"
        self._notes = folder / "notes"
        self._notes.touch()
        self._environment: dict[str, str] = {}

    def __enter__(self) -> System:
        self.proxy.__enter__()
        self.server.start()
        self.server.wait_serving()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self.runner is not None:
            self.runner.end()
        self.server.__exit__(kind, error, tb)
        self.proxy.__exit__(kind, error, tb)

    def configure(
        self,
        *listeners: str,
        plugins: Iterable[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Write the config of the runners to come."""
        text = CONFIG.format(
            plugins=", ".join(f'"{plugin}"' for plugin in plugins),
            root=ROOT,
            address=self._address,
            name=self.name,
            listeners="".join(listeners),
            dead_letters=self.dead_letters,
            admin=self._admin,
        )
        self._config.write_text(text, encoding="utf-8")
        self._environment = {
            "FAULTS_NOTES": str(self._notes),
            # It comes back as soon as an installed one does: with its modules compiled.
            "PYTHONDONTWRITEBYTECODE": "",
            **(env or {}),
        }

    # The runner.

    def start_runner(self) -> RunnerProcess:
        """Start a runner; it is not ready yet."""
        self.runner = RunnerProcess("start", self._config, env=self._environment)
        return self.runner

    def kill_runner(self) -> None:
        """SIGKILL: nothing is settled, flushed or answered."""
        assert self.runner is not None
        self.runner.signal(signal.SIGKILL)
        self.runner.wait()
        self.runner.end()

    def ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self._admin}/readyz").status == 200

    def wait_ready(self, *, within: float = 60.0) -> None:
        wait_until(self.ready, within=within, what="/readyz to answer 200")

    def status(self, listener: str) -> dict[str, Any]:
        """A listener's part of /status."""
        parts = http("GET", f"http://127.0.0.1:{self._admin}/status").json()["components"]
        found: dict[str, Any] = next(
            part for part in parts if (part["kind"], part["name"]) == ("listener", listener)
        )
        return found

    # Temporal.

    def kill_server(self) -> None:
        self.server.kill()

    def start_server(self) -> float:
        """Start it again; the monotonic time at which it was SERVING."""
        self.server.start()
        return self.server.wait_serving()

    async def client(self) -> Client:
        """A client past the proxy."""
        return await Client.connect(self.server.address)

    def notes(self) -> dict[str, Counter[str]]:
        """The side effects: for each event the runs that left a note, and how many each left."""
        found: dict[str, Counter[str]] = {}
        for line in self._notes.read_text(encoding="utf-8").splitlines():
            event, run = line.split()
            found.setdefault(event, Counter())[run] += 1
        return found
