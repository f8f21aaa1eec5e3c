"""Retry sections to retry options, each with its backoff strategy."""

from __future__ import annotations

from datetime import timedelta

from temporal_runner.config.model import RetrySettings
from temporal_runner.config.problems import Loc
from temporal_runner.errors import PluginError
from temporal_runner.plan.resolve import Resolver
from temporal_runner.retry.backoff import Backoff, Timing
from temporal_runner.retry.connector import DEFAULT as DEFAULT_RETRY
from temporal_runner.retry.connector import RetryOptions


class Retries:
    """The retry options of a config.

    Attributes:
        retry: What `retry` says: of connections, sources and deliveries.
        restart: What `restart` says: of workers and listeners that failed.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        settings = resolver.settings
        self.retry = self._resolve(settings.retry, ("retry",), ("retry", "options"))
        self.restart = self._resolve(settings.restart, ("restart",), ("restart", "options"))

    def changed(self, changes: RetrySettings | None, loc: Loc) -> RetryOptions:
        """`retry` with what a section of its own, at `loc`, changes of it."""
        if changes is None:
            return self.retry
        fields = {name: getattr(changes, name) for name in changes.model_fields_set}
        # A strategy's own options are inherited with it, and not by another strategy.
        inherited = not fields.keys() & {"strategy", "options"}
        options_loc: Loc = ("retry", "options") if inherited else (*loc, "options")
        settings = self._resolver.settings.retry.model_copy(update=fields)
        return self._resolve(settings, loc, options_loc)

    def _resolve(self, settings: RetrySettings, loc: Loc, options_loc: Loc) -> RetryOptions:
        strategies = self._resolver.catalog.strategies
        try:
            kind = strategies.get(settings.strategy)
            build = strategies.build(settings.strategy)
        except PluginError as error:
            self._resolver.loaded.problem((*loc, "strategy"), str(error))
            return DEFAULT_RETRY  # the rest can still be checked
        timing = Timing(
            settings.base_delay.total_seconds(), settings.max_delay.total_seconds(), settings.factor
        )
        options = self._resolver.options(kind.options, options_loc)
        backoff = Backoff(kind.name, build, timing, options, settings.jitter or kind.jitter)
        return RetryOptions(
            backoff,
            max_attempts=settings.max_attempts,
            timeout=_seconds(settings.timeout),
            attempt_timeout=_seconds(settings.attempt_timeout),
            wake_on_port=settings.wake_on_port,
        )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
