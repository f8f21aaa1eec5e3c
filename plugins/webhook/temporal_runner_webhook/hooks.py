"""Declares the source to the runner; loads no web server."""

from collections.abc import Iterable

from temporal_runner.plugin import EventSourceKind, hookimpl
from temporal_runner_webhook.config import WebhookOptions


@hookimpl
def runner_event_sources() -> Iterable[EventSourceKind]:
    """The webhook source."""
    yield EventSourceKind(
        name="webhook",
        summary="signed HTTP requests with JSON bodies",
        options=WebhookOptions,
        build="temporal_runner_webhook.source:WebhookSource",
        claims=_claims,
    )


def _claims(options: WebhookOptions) -> Iterable[str]:
    """Two listeners may share a port, not a path of it; port 0 is one for each."""
    if options.port:
        yield f"http://{options.host}:{options.port}{options.path}"
