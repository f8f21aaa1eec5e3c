"""What a plan is made of: frozen records of all that is to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import Plugin as ClientPlugin
from temporalio.converter import DataConverter
from temporalio.worker import Interceptor as WorkerInterceptor
from temporalio.worker import Plugin as WorkerPlugin

from temporal_runner.config.connections import ConnectionSettings, DevServerSettings
from temporal_runner.config.load import LoadedConfig
from temporal_runner.config.model import (
    AdminSettings,
    DeadLetterSettings,
    ListenerSettings,
    LogSettings,
)
from temporal_runner.config.problems import Problem
from temporal_runner.config.workers import WorkerSettings
from temporal_runner.plugin.sources import BuildSource, EventSourceKind
from temporal_runner.retry.connector import RetryOptions
from temporal_runner.routing.routes import Route

DEFAULT_CONNECTION = ""
"""The name of the connection that `temporal:` describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPlan:
    """A Temporal cluster and namespace, and how it is retried."""

    name: str
    settings: ConnectionSettings
    retry: RetryOptions
    data_converter: DataConverter | None = None
    plugins: Sequence[ClientPlugin] = ()
    interceptors: Sequence[ClientInterceptor] = ()
    dev_server: DevServerSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """A worker with its classes and functions.

    Attributes:
        alone: The config less all but this worker, where it runs in processes of its own.
    """

    name: str
    settings: WorkerSettings
    connection: str
    restart: RetryOptions
    workflows: Sequence[type] = ()
    activities: Sequence[Callable[..., Any]] = ()
    interceptors: Sequence[WorkerInterceptor] = ()
    plugins: Sequence[WorkerPlugin] = ()
    failure_types: Sequence[type[BaseException]] = ()
    make_executor: Callable[[], Executor] | None = None
    alone: LoadedConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPlan:
    """A listener with its source's kind, options and compiled routes."""

    name: str
    settings: ListenerSettings
    connection: str
    retry: RetryOptions
    restart: RetryOptions
    kind: EventSourceKind
    build: BuildSource
    options: BaseModel
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is to run.

    Attributes:
        file: The config file.
        connections: By name; the default one is under the empty name.
        workers: In the order of the config.
        listeners: In the order of the config.
        dead_letters: Where rejected events are kept.
        admin: The endpoint for probes, if there is one.
        log: How to log.
        shutdown_timeout: Seconds that stopping may take.
        warnings: What does not stop the runner and may be a mistake.
    """

    file: Path
    connections: Mapping[str, ConnectionPlan]
    workers: Sequence[WorkerPlan]
    listeners: Sequence[ListenerPlan]
    dead_letters: DeadLetterSettings
    admin: AdminSettings | None
    log: LogSettings
    shutdown_timeout: float
    warnings: Sequence[Problem]
