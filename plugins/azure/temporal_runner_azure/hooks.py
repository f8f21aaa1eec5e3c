"""Declares the source to the runner; loads no Azure library."""

from collections.abc import Iterable

from temporal_runner.plugin import EventSourceKind, hookimpl
from temporal_runner_azure.config import AzureOptions, claims


@hookimpl
def runner_event_sources() -> Iterable[EventSourceKind]:
    """The Azure Blob source."""
    yield EventSourceKind(
        name="azure",
        summary="Azure Blob events, by a Storage Queue or by listing a container",
        options=AzureOptions,
        build="temporal_runner_azure.queue:make_source",
        claims=claims,
    )
