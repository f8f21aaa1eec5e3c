"""Temporal through the shared connector: connected with retries, then watched."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from temporalio.client import Client

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.plan import ConnectionPlan
from temporal_runner.retry.backoff import Backoff, Timing
from temporal_runner.retry.connector import Connector, RetryOptions
from temporal_runner.runtime.connection.target import (
    check_usable,
    make_target,
)
from temporal_runner.values.wording import one_line

log = logging.getLogger("temporal_runner.temporal")

_PROBE_EVERY = 1.0
"""Seconds between two health checks of a connection that is up; one cheap call each."""
_SHORT_OUTAGE = 1.0
"""Seconds of an outage after which a connection comes back with a new client. What a client waits
for grows with the outage: its workers' polls wait for up to 10 s before they try again."""


class TemporalConnection:
    """One connection of the runner: connected with retries, then watched.

    Attributes:
        name: Its name in the config; `temporal` for the default one.
        target: Where it goes.
        rpc_timeout: How long a call may take that carries out a route.
        error: Why it is not available; empty while it is.
    """

    noun = "connection"

    def __init__(self, plan: ConnectionPlan) -> None:
        self.name = plan.name or "temporal"
        self.target = make_target(plan)
        self.rpc_timeout = plan.settings.rpc_timeout
        self.error = "not connected yet"
        self.restart = plan.retry
        self._client: Client | None = None
        self._presented: dict[str, Any] = {}
        self._when_lost: list[Callable[[], None]] = []
        self._lost_at = 0.0
        self._available = asyncio.Event()
        self._changed = asyncio.Event()
        self._look_now = asyncio.Event()
        self._looked = asyncio.Event()

    def describe(self) -> str:
        """Where it goes, for the start-up message."""
        return f"{self.target.address}, namespace {self.target.namespace}"

    @property
    def ready(self) -> bool:
        """A recent call succeeded."""
        return self._available.is_set()

    @property
    def client(self) -> Client:
        """The client; only after `wait_available` returned once. After an outage it is another."""
        assert self._client is not None
        return self._client

    async def wait_available(self) -> None:
        """Return as soon as Temporal can be used."""
        await self._available.wait()

    def when_lost(self, tell: Callable[[], None]) -> None:
        """Call a function each time that it is lost, or not there when it is first wanted."""
        self._when_lost.append(tell)

    async def wait_changed(self) -> None:
        """Return when it is lost, or back."""
        await self._changed.wait()

    async def new_client(self) -> Client:
        """A client of its own, for a worker that lost trust in the shared one."""
        return await self.target.connect()

    def suspect(self) -> None:
        """A call failed: look at the connection now instead of at the next turn."""
        self._look_now.set()

    async def look(self) -> None:
        """A call failed: return when it was looked whether the connection is there."""
        if self.ready:
            looked = self._looked
            self.suspect()
            await looked.wait()

    async def run(self) -> None:
        """Connect, then keep `ready` true to the facts, until cancelled.

        Raises:
            PermanentError: Connecting can never succeed.
            GaveUp: Temporal was not to be reached within the limits.
        """
        connector = self.target.connector(self.restart, log)
        try:
            self._client = await connector.call(self._connect)
            self._up(connector)
            while True:
                await self._until_it_fails()
                self._down()
                await connector.call(self._recover)
                self._up(connector)
        finally:
            self._available.clear()
            self._tell_looked()

    @property
    def _alone(self) -> bool:
        """It need not spare the server: not one of a fleet that all come back at once."""
        return self.restart.wake_on_port

    async def _connect(self) -> Client:
        try:
            return await self._new_client()
        except Exception as error:
            self.error = _cause(error)
            self._tell_lost()
            raise

    async def _new_client(self) -> Client:
        presented = self._credentials()
        client = await self.target.connect()
        self._presented = presented
        return client

    def _credentials(self) -> dict[str, Any]:
        """What the next client would present; of what cannot be read just now, as before."""
        try:
            return self.target.credentials.read()
        except PermanentError:
            return self._presented

    def _up(self, connector: Connector) -> None:
        log.info("connected to %s", self.target)
        # A server is back so soon that waiting for it longer than a second between two looks would
        # be most of an outage's end. A fleet keeps its own delays.
        connector.switch_to(
            _each_second(self.restart) if self._alone else self.restart.without_limits()
        )
        self.error = ""
        self._available.set()
        self._tell()

    def _down(self) -> None:
        log.warning("lost %s: %s", self.target, self.error)
        self._lost_at = time.monotonic()
        self._available.clear()
        self._tell_lost()
        self._tell_looked()
        self._tell()

    def _tell_lost(self) -> None:
        for tell in self._when_lost:
            tell()

    def _tell_looked(self) -> None:
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _until_it_fails(self) -> None:
        while True:
            self._look_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_EVERY * random.uniform(0.75, 1.25)):
                    await self._look_now.wait()
            try:
                await check_usable(self.client)
            except Exception as error:
                self.error = _cause(error)
                return
            self._tell_looked()

    async def _recover(self) -> None:
        try:
            long = time.monotonic() - self._lost_at > _SHORT_OUTAGE
            if (self._alone and long) or self._credentials() != self._presented:
                self._client = await self._new_client()
            else:
                await check_usable(self.client)
        except Exception as error:
            self.error = _cause(error)
            # A connection that worked is not given up: what it says may be a passing state of a
            # server that starts.
            raise TransientError(self.error) from error


def _each_second(retry: RetryOptions) -> RetryOptions:
    timing = Timing(0.25, 1.0, retry.backoff.timing.factor)
    backoff = Backoff(
        retry.backoff.name, retry.backoff.build, timing, retry.backoff.options, "equal"
    )
    return RetryOptions(backoff, attempt_timeout=retry.attempt_timeout)


def _cause(error: BaseException) -> str:
    return one_line(error) or type(error).__name__
