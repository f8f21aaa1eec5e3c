"""Runs a plan: start, main loop, drain, to be read from top to bottom.

Each connection, worker and listener is a component in a task of its own. One that fails is run
again after a delay while the others go on; one that fails for good stops the runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from temporal_runner.errors import RunnerError
from temporal_runner.http import HttpServer
from temporal_runner.plan import DEFAULT_CONNECTION, Plan
from temporal_runner.retry.connector import Connector, RetryOptions
from temporal_runner.runtime import loop
from temporal_runner.runtime.connection.devserver import DevServer
from temporal_runner.runtime.connection.temporal import TemporalConnection
from temporal_runner.runtime.health import Status, admin_endpoint
from temporal_runner.runtime.listeners.component import Listener
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from temporal_runner.runtime.workers.component import WorkerComponent
from temporal_runner.runtime.workers.processes import WorkerProcess, processes_of
from temporal_runner.values.durations import format_duration

log = logging.getLogger("temporal_runner")

_HEALTHY_AFTER = 60.0
"""Seconds of readiness after which a component's next failure is a first one again."""
_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""What a terminal sends when it is closed; not on Windows."""
_SAY_EVERY = 10.0
"""Seconds between two lines that say what the start waits for."""


class Component(Protocol):
    """A part of the runner that runs in a task of its own."""

    noun: str
    name: str
    restart: RetryOptions

    @property
    def ready(self) -> bool:
        """It does its work."""

    @property
    def error(self) -> str:
        """Why it is not ready; empty while it is."""

    def describe(self) -> str:
        """What it does and where, for the start-up message."""

    async def run(self) -> None:
        """Do the work until cancelled, then finish what is in hand."""


class Supervisor:
    """A running plan."""

    def __init__(self, plan: Plan, *, on_ready: Callable[[Supervisor], None] | None = None) -> None:
        """Build every component; nothing runs and nothing is connected yet.

        Args:
            plan: What to run.
            on_ready: Called when all of it is ready for the first time.
        """
        self.plan = plan
        self._on_ready = on_ready
        connections = {
            name: TemporalConnection(connection) for name, connection in plan.connections.items()
        }
        self.connections = list(connections.values())
        self.workers = [
            WorkerComponent(worker, connections[worker.connection])
            for worker in plan.workers
            if worker.alone is None
        ]
        self.processes = [one for worker in plan.workers for one in processes_of(worker)]
        settings = plan.dead_letters
        self._dead_letters = DeadLetters(settings.path, max_size=settings.max_size)
        self.listeners = [
            Listener(listener, connections, self._dead_letters) for listener in plan.listeners
        ]
        self._dispensable = {connections[name] for name in _dispensable(plan)}
        self.dev_server = self._make_dev_server(connections[DEFAULT_CONNECTION])
        self.admin: HttpServer | None = None
        self._stopping = asyncio.Event()
        self._failure: RunnerError | None = None
        self._restarts: Counter[str] = Counter()
        self._last_failure: dict[str, dict[str, str]] = {}

    async def run(self) -> int:
        """Run until a signal or a failure that cannot be mended.

        Returns:
            The process's exit code: 0 after a signal, 1 after a failure.
        """
        self._take_signals()
        try:
            await self._start_admin()
            await self._open_dead_letters()
            servers = self._start([self.dev_server] if self.dev_server else [])
            connections = self._start(self.connections)
            workers = self._start([*self.workers, *self.processes])
            listeners = self._start(self.listeners)
            telling = asyncio.create_task(self._tell_when_ready())
            await self._stopping.wait()
            telling.cancel()
            try:
                async with asyncio.timeout(self.plan.shutdown_timeout):
                    for tasks in (listeners, workers, connections, servers):
                        await self._stop(tasks)
            except TimeoutError:
                deadline = format_duration(self.plan.shutdown_timeout)
                self._end_hard(f"not stopped within shutdown_timeout ({deadline})", 1)
        except RunnerError as error:
            self._failure = error
        finally:
            await self._dead_letters.close()
            if self.admin is not None:
                await self.admin.stop()
        if self._failure is not None:
            log.error("stopped: %s", self._failure)
            return 1
        log.info("stopped")
        return 0

    # Start.

    def _make_dev_server(self, connection: TemporalConnection) -> DevServer | None:
        settings = self.plan.connections[DEFAULT_CONNECTION].dev_server
        if settings is None:
            return None
        target = connection.target
        restart = self.plan.connections[DEFAULT_CONNECTION].retry
        return DevServer(settings, target.address, target.namespace, restart)

    async def _start_admin(self) -> None:
        if self.plan.admin is None:
            return
        settings = self.plan.admin
        self.admin = HttpServer(admin_endpoint(self.status), host=settings.host, port=settings.port)
        await self.admin.start()
        log.info("admin: http://%s:%d/readyz", settings.host, self.admin.port)

    async def _open_dead_letters(self) -> None:
        """Before anything can be rejected: a path that cannot be used shows at the start."""
        if not self.listeners:
            return
        retry = self.plan.connections[DEFAULT_CONNECTION].retry
        await Connector("dead letters", retry, log=log).call(self._dead_letters.open)

    def _start(self, components: Sequence[Component]) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(self._supervise(one), name=f"{one.noun} {one.name}")
            for one in components
        ]

    async def _tell_when_ready(self) -> None:
        started = said = time.monotonic()
        while not self.ready:
            await asyncio.sleep(0.02)
            if time.monotonic() - said >= _SAY_EVERY:
                said = time.monotonic()
                missing = [f"{one.noun} {one.name}" for one in self.components() if not one.ready]
                log.info("still waiting for: %s", ", ".join(missing))
        loop.keep_what_is_there()
        log.info("ready after %.1fs", time.monotonic() - started)
        if self._on_ready is not None:
            self._on_ready(self)

    # Main loop: what every component's task does.

    async def _supervise(self, component: Component) -> None:
        what = f"{component.noun} {component.name}"
        connector = Connector(what, component.restart, log=log)
        while True:
            started = time.monotonic()
            try:
                await component.run()
                raise RuntimeError("it ended by itself")
            except RunnerError as error:
                self._give_up(what, error)
                return
            except Exception as error:
                log.debug("%s failed", what, exc_info=True)
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._last_failure[what] = {"at": now, "reason": str(error) or repr(error)}
                if time.monotonic() - started >= _HEALTHY_AFTER:
                    connector.reset()
                try:
                    await connector.back_off_after(error)
                except RunnerError as final:
                    self._give_up(what, final)
                    return
                self._restarts[what] += 1

    def _give_up(self, what: str, error: RunnerError) -> None:
        if self._failure is None:
            text = str(error)
            self._failure = RunnerError(text if text.startswith(what) else f"{what}: {text}")
        self._stopping.set()

    # Drain.

    def _take_signals(self) -> None:
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, _HANG_UP):
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup: it is to outlive its terminal
            with contextlib.suppress(NotImplementedError):  # Windows
                running.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            if number is _HANG_UP:
                return  # the shell sends one, and the kernel, too
            self._end_hard(f"second {number.name}", 128 + number)
        log.info("%s: stopping; the same again ends at once", number.name)
        self._stopping.set()

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end_hard(self, why: str, code: int) -> None:
        log.error("ending at once: %s", why)
        if self.dev_server is not None:
            self.dev_server.kill()
        os._exit(code)

    # What probes see.

    @property
    def ready(self) -> bool:
        """Every component does its work, and the runner is not stopping."""
        needed = (one for one in self.components() if one not in self._dispensable)
        return not self._stopping.is_set() and all(one.ready for one in needed)

    def status(self) -> Status:
        """Each component's state, for /status."""
        parts = []
        for one in self.components():
            what = f"{one.noun} {one.name}"
            part: Status = {
                "kind": one.noun,
                "name": one.name,
                "ready": one.ready,
                "error": one.error,
                "restarts": self._restarts[what],
            }
            if what in self._last_failure:
                part["last_failure"] = self._last_failure[what]
            if isinstance(one, Listener | WorkerProcess):
                part |= one.status()
            parts.append(part)
        return {"ready": self.ready, "stopping": self._stopping.is_set(), "components": parts}

    def components(self) -> list[Component]:
        """Every part that runs, in the order of starting."""
        servers = [self.dev_server] if self.dev_server else []
        return [*servers, *self.connections, *self.workers, *self.processes, *self.listeners]


def _dispensable(plan: Plan) -> set[str]:
    """The connections that only listeners with an inbox use.

    Those go on receiving while Temporal is away, and a probe that took them out of service for it
    would turn events away.
    """
    needed = {worker.connection for worker in plan.workers}
    used = set()
    for listener in plan.listeners:
        ways = {route.connection for route in listener.routes}
        used |= ways
        if listener.settings.inbox is None:
            needed |= ways
    return used - needed
