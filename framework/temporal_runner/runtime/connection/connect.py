"""The runner's way to connect for code outside the runner: `connect_to_temporal_with_retry`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.client import Client

from temporal_runner.errors import PermanentError, UsageError
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.retry.backoff import Backoff, Jitter, NoOptions, Timing, WaitGenerator
from temporal_runner.retry.connector import RetryOptions
from temporal_runner.runtime.connection.merge import checked_address, from_profile, taken_from
from temporal_runner.runtime.connection.profile import load_profile
from temporal_runner.runtime.connection.target import Target, profile_address

log = logging.getLogger("temporal_runner.temporal")


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
        UsageError: The TOML profile cannot be read, or a variable is not what it has to be.
    """
    profile = load_profile(None, None, ignore_env=False)
    target = Target(
        _argument(address) if address else profile_address(profile),
        namespace or profile.values.namespace or "default",
        arguments,
        taken_from(arguments, from_profile(profile)),
        frozenset(retry_on),
    )
    target.credentials.read()  # what it cannot read now is permanent, what it cannot later is not
    timing = Timing(_seconds(base_delay), _seconds(max_delay), factor)
    options = RetryOptions(
        _backoff(strategy, timing, jitter),
        max_attempts=max_attempts,
        timeout=None if timeout is None else _seconds(timeout),
        attempt_timeout=None if attempt_timeout is None else _seconds(attempt_timeout),
        wake_on_port=wake_on_port,
    )
    return await target.connector(options, log).call(target.connect)


def _argument(address: str) -> str:
    try:
        return checked_address(address, f"address {address!r}")
    except UsageError as error:
        raise PermanentError(str(error), next_step="give it as host:port") from None


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
