"""A webhook listener's options."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from temporal_runner.plugin import Options, PositiveDuration, Size, Text, TlsOptions
from temporal_runner_webhook.schemes import HeaderName, Verification

_ROOTS = "event|workflow_id|run_id|result"
PATH = re.compile(rf"\$\{{\{{\s*((?:{_ROOTS})(?:\.[\w-]+)*)\s*\}}\}}")
"""A placeholder of a response template."""
_OF_THE_CONNECTION = {
    *("connection", "content-length", "content-type", "date", "keep-alive", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
}
"""Headers that say where an answer ends, or what it is: a second one lets two readers differ."""


class RateOptions(Options):
    """How many events are taken in a time; more are answered 429."""

    events: Annotated[int, Field(ge=1)]
    """So many events."""
    per: PositiveDuration = timedelta(seconds=1)
    """In this time."""
    burst: Annotated[int, Field(ge=1)] | None = None
    """How many at once after a quiet time; by default as many as `events`."""


class ResponseTemplate(Options):
    """An answer in the words of the config.

    `${{ … }}` in it is a path, such as `${{ result.price }}`, that begins with `event`,
    `workflow_id`, `run_id` or `result`.
    """

    status: Annotated[int, Field(ge=200, le=299)] = 200
    """The status."""
    headers: dict[HeaderName, str] = {}
    """More headers."""
    body: Any = None
    """A text is sent as text/plain, anything else as JSON; null is no body."""

    @field_validator("headers")
    @classmethod
    def _none_of_the_connection(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _OF_THE_CONNECTION:
                raise ValueError(f"{name} is the server's own to send: remove it")
        return headers

    @model_validator(mode="after")
    def _only_paths(self) -> ResponseTemplate:
        if "${{" in PATH.sub("", json.dumps([self.headers, self.body])):
            raise ValueError(
                "here ${{ … }} holds a path such as result.price, below event, workflow_id, run_id"
                " or result, and no other expression"
            )
        return self


class ResponseOptions(Options):
    """The answers to what was taken; what is left out is answered with a small JSON object."""

    accepted: ResponseTemplate | None = None
    """Temporal has it."""
    completed: ResponseTemplate | None = None
    """Temporal has it, and its result came within the route's wait_for_result."""
    duplicate: ResponseTemplate | None = None
    """Temporal had it already."""
    ignored: ResponseTemplate | None = None
    """No route wants it."""


class WebhookOptions(Options):
    """Where to listen, whom to believe, and what of a request becomes the event."""

    verify: Verification
    """How a request proves its sender."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 in a container."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """The port; 0 picks a free one. Listeners with different paths may share a port."""
    path: Annotated[str, Field(pattern=r"^/[^?#\s]*$")] = "/"
    """The path; it is the event's `source` too, where the sender names none."""
    tls: TlsOptions | None = None
    """Serve HTTPS; listeners that share a port have the same."""
    id_header: HeaderName | None = None
    """The header that becomes the event's `id`, instead of what the scheme has for it. CloudEvents
    and Event Grid's events have their own."""
    type_header: HeaderName | None = None
    """The header that becomes the event's `type`, instead of what the scheme has for it."""
    max_body: Size = 1024 * 1024
    """The largest body, as it is sent and as it is once expanded; a larger one is answered 413."""
    body_timeout: PositiveDuration = timedelta(seconds=10)
    """How long a request's body may take to arrive."""
    max_concurrent: Annotated[int, Field(ge=1)] = 500
    """How many requests are under way at a time; more are answered 429."""
    max_buffered: Size = 64 * 1024 * 1024
    """How many bytes of bodies are held at a time, all requests together; more are answered 429."""
    rate: RateOptions | None = None
    """How many events are taken in a time; by default no limit."""
    response: ResponseOptions = ResponseOptions()
    """Answers in the words of the config."""
    allowed_origins: tuple[Text, ...] = ()
    """Who may send CloudEvents, for senders that ask by OPTIONS with WebHook-Request-Origin;
    `*` is everybody."""
