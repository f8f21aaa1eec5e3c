"""Declares the source to the runner; loads no vendor SDK."""

from collections.abc import Iterable

from temporal_runner.plugin import EventSourceKind, hookimpl
from temporal_runner_s3.config import S3Options, claims


@hookimpl
def runner_event_sources() -> Iterable[EventSourceKind]:
    """The S3 source."""
    yield EventSourceKind(
        name="s3",
        summary="object events of S3 by SQS (mode: queue), or by listing a bucket (mode: list)",
        options=S3Options,
        build="temporal_runner_s3.queue:make_source",
        claims=claims,
    )
