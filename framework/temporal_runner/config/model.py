"""The whole config as one frozen model, the listeners' and the small sections included."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from temporal_runner.config.connections import ConnectionSettings, TemporalSettings
from temporal_runner.config.fields import Section
from temporal_runner.config.routes import RouteSection
from temporal_runner.config.workers import WorkerSettings
from temporal_runner.retry.backoff import Jitter
from temporal_runner.values.durations import PositiveDuration
from temporal_runner.values.sizes import Size
from temporal_runner.values.texts import Text


class RetrySettings(Section):
    """How every connection is retried; a listener may change single options for itself."""

    strategy: Text = "exponential"
    """exponential, fibonacci, constant, decorrelated, or one of a plugin's."""
    base_delay: PositiveDuration = timedelta(milliseconds=500)
    """The first delay."""
    max_delay: PositiveDuration = timedelta(seconds=30)
    """No delay is longer."""
    factor: Annotated[float, Field(ge=1)] | None = None
    """By how much a delay grows; by default the strategy's own (exponential 2, decorrelated 3)."""
    jitter: Jitter | None = None
    """full: from 0 to the delay; equal: from half of it; none. By default the strategy's own,
    which is full but for strategies that are random themselves."""
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    """How many attempts; null is no limit."""
    timeout: PositiveDuration | None = timedelta(minutes=10)
    """How long the first connection may take before the runner exits with 1; null is no limit.
    Once connected, an outage is waited out however long it is."""
    attempt_timeout: PositiveDuration | None = timedelta(seconds=10)
    """How long one attempt may take."""
    wake_on_port: bool = True
    """Between two attempts look at Temporal's port, and try at once when it opens. Off for a fleet,
    whose runners would all come at that moment."""
    options: dict[str, Any] = {}
    """A plugin's strategy's own options."""


class RestartSettings(RetrySettings):
    """How a worker or a listener that failed is restarted."""

    base_delay: PositiveDuration = timedelta(seconds=1)
    """The first delay."""
    max_attempts: Annotated[int, Field(ge=1)] | None = 10
    """The runner exits with 1 after so many failures in a row; one minute of health starts the
    count anew. null is no limit."""
    timeout: PositiveDuration | None = None
    """The runner exits with 1 after so long without health; null is no limit."""


class InboxSettings(Section):
    """Events on disk before the source is acknowledged, and dispatched from there."""

    path: Path
    """An SQLite file on a local disk, of this listener alone, such as /var/lib/runner/shop.db; a
    relative path is below the working directory."""
    max_size: Size = 1_000_000_000
    """Bytes of events above which it takes no more: webhooks answer 503, queues are not asked."""
    max_age: PositiveDuration = timedelta(days=7)
    """It takes no more either while its oldest event waits for longer."""


class DeadLetterSettings(Section):
    """Where rejected events are kept that their source keeps in no place of its own."""

    path: Path = Path(".runner/dead-letters.db")
    """An SQLite file on a local disk; several runners of one machine may share it. A relative path
    is below the working directory."""
    max_size: Size = 1_000_000_000
    """Bytes of the file above which events are handed back to their source instead."""


class ListenerSettings(Section):
    """An event source and what is done with its events."""

    source: Text
    """webhook, or one of a plugin's."""
    options: dict[str, Any] = {}
    """The source's own options."""
    routes: Annotated[tuple[RouteSection, ...], Field(min_length=1)]
    """Tried in order; the first whose `when` is true is taken."""
    unmatched: Literal["ignore", "reject"] = "ignore"
    """An event that no route wants: count it and be done, or keep it as a dead letter."""
    connection: Text | None = None
    """One of `connections`, for all its routes; by default `temporal`."""
    retry: RetrySettings | None = None
    """Changes to the top-level `retry` for this listener; what it leaves out is inherited."""
    max_in_flight: Annotated[int, Field(ge=1)] = 100
    """How many events are under way at a time."""
    inbox: InboxSettings | None = None
    """Take events while Temporal is away, too: they are kept on disk until it accepts them."""


class AdminSettings(Section):
    """The endpoint for probes and people: /livez, /readyz, /status, /metrics."""

    host: Text = "127.0.0.1"
    """The address to listen at."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8088
    """The port; 0 picks a free one."""


class LogSettings(Section):
    """The runner's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are shown."""
    format: Literal["text", "json"] = "text"
    """For people, or one JSON object a line."""


class RunnerConfig(Section):
    """A config file."""

    plugins: tuple[Text, ...] = ()
    """Runner plugins that are single files, such as ./my_backoff.py."""
    import_paths: tuple[Text, ...] = ()
    """Folders in which the modules of workflows and activities are looked up."""
    temporal: TemporalSettings = TemporalSettings()
    """The default connection."""
    connections: dict[str, ConnectionSettings] = {}
    """More namespaces or clusters, picked by `connection: NAME`. One without address and profile
    inherits those of `temporal`."""
    retry: RetrySettings = RetrySettings()
    """How every connection is retried."""
    restart: RestartSettings = RestartSettings()
    """How a worker or a listener that failed is restarted."""
    workers: dict[str, WorkerSettings] = {}
    """Workers by name."""
    listeners: dict[str, ListenerSettings] = {}
    """Listeners by name."""
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    """What can never succeed, for `runner dead-letters`."""
    admin: AdminSettings | None = None
    """The endpoint for probes; none by default."""
    log: LogSettings = LogSettings()
    """The runner's own log."""
    shutdown_timeout: PositiveDuration = timedelta(seconds=45)
    """How long the runner may take to stop after SIGTERM before it ends hard, with exit code 1."""
