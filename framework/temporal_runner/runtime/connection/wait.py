"""Waits until Temporal can be used: what `runner wait` does."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from temporal_runner.config.load import LoadedConfig
from temporal_runner.plan import ConnectionPlan, connection_plans
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.connection.merge import checked_address
from temporal_runner.runtime.connection.target import make_target

log = logging.getLogger("temporal_runner.wait")


async def wait_for_temporal(
    loaded: LoadedConfig | None,
    *,
    address: str | None,
    namespace: str | None,
    timeout: float | None,
    once: bool,
) -> None:
    """Wait for every connection of a config, or for the one that the arguments name.

    Args:
        loaded: A config; None means what the environment says.
        address: Instead of the default connection's.
        namespace: Instead of the default connection's.
        timeout: Seconds to wait; None is without an end.
        once: Make one attempt, within the same time.

    Raises:
        UsageError: The config is wrong.
        PermanentError: Waiting cannot help.
        GaveUp: The time is over, or the one attempt failed.
    """
    if address is not None:
        checked_address(address, f"--address {address}")
    plans = connection_plans(loaded, Catalog.installed())
    until = None if timeout is None else time.monotonic() + timeout
    for plan in plans:
        left = None if until is None else max(0.0, until - time.monotonic())
        await _wait(_changed(plan, address, namespace), left, once)


async def _wait(plan: ConnectionPlan, timeout: float | None, once: bool) -> None:
    target = make_target(plan)
    options = replace(plan.retry, max_attempts=1 if once else None, timeout=timeout)
    await target.connector(options, log).call(target.connect)
    log.info("%s is ready", target)


def _changed(plan: ConnectionPlan, address: str | None, namespace: str | None) -> ConnectionPlan:
    changes = {"address": address, "namespace": namespace}
    given = {key: value for key, value in changes.items() if value is not None}
    if plan.name or not given:
        return plan
    return replace(plan, settings=plan.settings.model_copy(update=given))
