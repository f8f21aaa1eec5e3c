"""Temporal through the shared connector: connected with retries, then watched.

Also the same for code outside the runner: `connect_to_temporal_with_retry`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.client import Client

from temporal_runner.errors import TransientError
from temporal_runner.plan import ConnectionPlan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.retry.backoff import Backoff, Jitter, NoOptions, Timing, WaitGenerator
from temporal_runner.retry.connector import Connector, RetryOptions
from temporal_runner.runtime.connection.target import (
    Target,
    check_usable,
    load_profile,
    make_target,
    profile_arguments,
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
            return await self.target.connect()
        except Exception as error:
            self.error = _cause(error)
            self._tell_lost()
            raise

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
            if self._alone and time.monotonic() - self._lost_at > _SHORT_OUTAGE:
                self._client = await self.target.connect()
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


async def connect_to_temporal_with_retry(
    address: str | None = None,
    namespace: str | None = None,
    *,
    strategy: str | Callable[[Timing], WaitGenerator] = "exponential",
    base_delay: float | timedelta = 0.5,
    max_delay: float | timedelta = 30.0,
    factor: float | None = None,
    jitter: Jitter | None = None,
    max_attempts: int | None = None,
    timeout: float | timedelta | None = 600.0,
    attempt_timeout: float | timedelta | None = 10.0,
    wake_on_port: bool = True,
    retry_on: tuple[str, ...] = (),
    **arguments: Any,
) -> Client:
    """Connect to a Temporal that may be late: `Client.connect` with the runner's retries.

    Args:
        address: host:port; by default what `temporalio.envconfig` finds (TEMPORAL_ADDRESS or a
            TOML profile), else localhost:7233.
        namespace: The namespace; found in the same way, else default.
        strategy: A backoff strategy's name (built-in or of an installed plugin), or a function
            that takes a `Timing` and returns a wait generator of the backoff library.
        base_delay: Seconds or a timedelta; the first delay.
        max_delay: Seconds or a timedelta; no delay is longer.
        factor: By how much a delay grows; None is the strategy's own.
        jitter: "full", "equal" or "none"; None is the strategy's own, mostly full.
        max_attempts: How many attempts, the first included; None is no limit.
        timeout: Seconds or a timedelta after which to give up; None is no limit.
        attempt_timeout: Seconds or a timedelta that one attempt may take; None is no limit.
        wake_on_port: Look at the port between two attempts, and try at once when it opens; not for
            a fleet.
        retry_on: Failures to wait out that are permanent by default: "namespace_not_found",
            "permission_denied".
        **arguments: More arguments of `Client.connect`, such as `tls`, `api_key`,
            `data_converter`. Those that are not given come from the environment too.

    Returns:
        A connected client, whose namespace exists.

    Raises:
        PermanentError: A failure that trying again cannot mend, such as a wrong certificate; its
            `next_step` says what to do.
        GaveUp: The attempts or the time are used up.
        PluginError: There is no such strategy.
        UsageError: The TOML profile cannot be read.
    """
    profile = load_profile(None, None, ignore_env=False)
    target = Target(
        address or profile.address or "localhost:7233",
        namespace or profile.namespace or "default",
        {**profile_arguments(profile), **arguments},
        frozenset(retry_on),
    )
    timing = Timing(_seconds(base_delay), _seconds(max_delay), factor)
    options = RetryOptions(
        _backoff(strategy, timing, jitter),
        max_attempts=max_attempts,
        timeout=None if timeout is None else _seconds(timeout),
        attempt_timeout=None if attempt_timeout is None else _seconds(attempt_timeout),
        wake_on_port=wake_on_port,
    )
    return await target.connector(options, log).call(target.connect)


def _backoff(
    strategy: str | Callable[[Timing], WaitGenerator], timing: Timing, jitter: Jitter | None
) -> Backoff:
    if callable(strategy):
        make = strategy
        return Backoff(
            "custom", lambda given, _: make(given), timing, NoOptions(), jitter or "full"
        )
    strategies = Catalog.installed().strategies
    kind, build = strategies.get(strategy), strategies.build(strategy)
    return Backoff(kind.name, build, timing, kind.options(), jitter or kind.jitter)


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
