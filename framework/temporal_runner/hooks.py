"""The hook specifications: what a runner plugin may declare.

Hooks are few, synchronous and declarative. They yield frozen records; the objects which those
records name do the asynchronous work. A plugin is a module (or a file) with these functions in it,
each marked with `@hookimpl`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from temporal_runner.backoff import BackoffKind
from temporal_runner.sources import EventSourceKind

PROJECT = "temporal_runner"
"""The entry point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def runner_event_sources() -> Iterable[EventSourceKind]:  # type: ignore[empty-body]
    """Declare event sources.

    Example:
        ```python
        from temporal_runner.plugin import EventSourceKind, hookimpl

        @hookimpl
        def runner_event_sources():
            yield EventSourceKind(
                name="postgres",
                summary="rows of an outbox table",
                options=PostgresOptions,
                build="my_package.source:PostgresSource",
            )
        ```
    """


@hookspec
def runner_backoff_strategies() -> Iterable[BackoffKind]:  # type: ignore[empty-body]
    """Declare backoff strategies.

    Example:
        ```python
        import backoff
        from temporal_runner.plugin import BackoffKind, hookimpl

        @hookimpl
        def runner_backoff_strategies():
            yield BackoffKind(
                name="two-steps",
                summary="the base delay once, then the longest",
                build=lambda timing, options: backoff.constant(
                    [timing.base_delay] + [timing.max_delay] * 1000
                ),
            )
        ```
    """
