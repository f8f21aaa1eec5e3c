"""The hook specifications: what a runner plugin may declare.

Hooks are few, synchronous and declarative. They yield frozen records; the objects which those
records name do the asynchronous work. A plugin is a module (or a file) with these functions in it,
each marked with `@hookimpl`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from temporal_runner.plugin.sources import EventSourceKind
from temporal_runner.retry.backoff import BackoffKind

PROJECT = "temporal_runner"
"""The entry point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def runner_event_sources() -> Iterable[EventSourceKind]:  # type: ignore[empty-body]
    """Declare event sources: what a config may name after `source:`.

    Example:
        ```python
        from temporal_runner.plugin import EventSourceKind, Options, Secret, hookimpl


        class OutboxOptions(Options):
            dsn: Secret
            table: str = "outbox"


        @hookimpl
        def runner_event_sources():
            yield EventSourceKind(
                name="outbox",
                summary="rows of an outbox table",
                options=OutboxOptions,
                build="my_package.source:OutboxSource",
            )
        ```
    """


@hookspec
def runner_backoff_strategies() -> Iterable[BackoffKind]:  # type: ignore[empty-body]
    """Declare backoff strategies: what a config may name after `strategy:`.

    Example:
        ```python
        from temporal_runner.plugin import BackoffKind, hookimpl


        def patient(timing, options):
            yield 0  # the first yield is dropped
            yield timing.base_delay
            while True:
                yield timing.max_delay


        @hookimpl
        def runner_backoff_strategies():
            yield BackoffKind(
                name="patient", summary="the base delay once, then the longest", build=patient
            )
        ```
    """
