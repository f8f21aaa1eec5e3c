"""From a verified request to its events: what each sender's id, type, subject and data are.

The table in docs/reference/webhook.md says the same in words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from temporal_runner.plugin import (
    Event,
    Written,
    event_from_json,
    events_from_message,
    is_cloudevent,
)
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.request import (
    FORM,
    Refusal,
    Request,
    bad,
    expand,
    is_json,
    parse_form,
    parse_json,
    unsupported,
)

MOST_EVENTS = 5000
"""Events in one request."""
_HIDDEN = re.compile(
    "signature|token|secret|passw|credential|authorization|cookie|session|assertion|jwt"
    "|(?:api|access|account|auth|private)-?key"
)


class EventReader:
    """Reads the events of one listener's requests."""

    def __init__(self, options: WebhookOptions) -> None:
        self._scheme = options.verify.scheme
        self._path = options.path
        self._most = options.max_body
        self._id_header = (options.id_header or "").lower()
        self._type_header = (options.type_header or "").lower()
        proof = (getattr(options.verify, "header", None) or "").lower()
        self._is_hidden = lru_cache(1000)(lambda name: name == proof or _HIDDEN.search(name))

    def read(self, request: Request) -> list[Event]:
        """The events in a request.

        Raises:
            Refusal: It is not what this listener takes, or broken, or too large, or something
                that its event needs is missing.
        """
        body = expand(request, self._most)
        extensions = self._extensions(request.headers)
        if self._scheme not in _READERS and is_cloudevent(request.headers):
            # Asked for one by one: one that stands there twice is refused.
            named = [name for name in request.headers if name.startswith(("ce-", "content-type"))]
            attributes = {name: request.headers[name] for name in named}
            try:
                events = events_from_message(attributes, body)
            except ValueError as error:
                raise bad(f"it is no CloudEvent: {error}") from None
        else:
            data = self._content(request, body)
            if self._scheme != "event_grid":
                read = _READERS.get(self._scheme, _plain)
                event = read(_Content(self._path, request, body, data, extensions))
                return [self._named(event, request)]
            events = [_of_event_grid(one) for one in _as_list(data)]
        if len(events) > MOST_EVENTS:
            detail = f"there are more than {MOST_EVENTS} events in the request"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        own = extensions["headers"]
        return [
            replace(event, extensions={**extensions, **event.extensions, "headers": own})
            for event in events
        ]

    def _content(self, request: Request, body: bytes) -> Any:
        media_type = request.media_type
        if media_type == FORM:
            fields = parse_form(body)
            # GitHub and Slack can put their JSON into a form's only field.
            if fields.keys() == {"payload"} and isinstance(fields["payload"], str):
                return parse_json(fields["payload"].encode())
            return fields
        # SNS sends its JSON as text/plain.
        if is_json(media_type) or self._scheme == "sns":
            return parse_json(body)
        raise unsupported(f"the body must be application/json or {FORM}")

    def _named(self, event: Event, request: Request) -> Event:
        """The event with the ID and the type of the headers that the config names."""
        if self._id_header:
            event = replace(event, id=_required(request, self._id_header))
        if self._type_header and (kind := request.headers.get(self._type_header)):
            event = replace(event, type=kind)
        return event

    def _extensions(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """The headers that routes may use, and the sender's trace."""
        is_hidden = self._is_hidden
        shown = {name: value for name, value in headers.items() if not is_hidden(name)}
        # Of two traces neither is one (W3C Trace Context); that is no reason to refuse an event.
        trace = shown.get("traceparent")
        if trace and "," not in trace:
            return {"headers": shown, "traceparent": trace}
        return {"headers": shown}


@dataclass(slots=True)
class _Content:
    """A request whose body has been read, and what its sender's reader makes an event of.

    Attributes:
        path: The listener's path.
        request: The request.
        body: The body, expanded.
        data: What it holds.
        extensions: The event's.
    """

    path: str
    request: Request
    body: bytes
    data: Any
    extensions: dict[str, Any]

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name) or None

    def text(self, *path: str) -> str | None:
        """A text inside the data, or None."""
        value = self.data
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return value if isinstance(value, str) and value else None

    def event(
        self,
        event_id: str | None,
        kind: str | None,
        subject: str | None = None,
        time: datetime | None = None,
    ) -> Event:
        """Without an ID of the sender's the same body is the same event."""
        return Event(
            id=event_id or hashlib.sha256(self.body).hexdigest()[:32],
            source=self.path,
            type=kind or "webhook",
            subject=subject,
            time=time or datetime.now(UTC),
            datacontenttype=self.request.media_type,
            data=self.data,
            extensions=self.extensions,
            written=Written(self.data, self.body) if is_json(self.request.media_type) else None,
        )


# One function a sender. --------------------------------------------------------------------------


def _plain(content: _Content) -> Event:
    return content.event(None, content.text("type"))


def _github(content: _Content) -> Event:
    return content.event(
        _required(content.request, "x-github-delivery"),
        _required(content.request, "x-github-event"),
        content.text("repository", "full_name"),
    )


def _gitlab(content: _Content) -> Event:
    return content.event(
        content.header("idempotency-key"),
        _required(content.request, "x-gitlab-event"),
        content.text("project", "path_with_namespace"),
    )


def _standard_webhooks(content: _Content) -> Event:
    time = datetime.fromtimestamp(int(content.request.headers["webhook-timestamp"]), UTC)
    return content.event(content.header("webhook-id"), content.text("type"), time=time)


def _stripe(content: _Content) -> Event:
    if not content.text("id"):
        raise bad("the body has no id: it is not an event of Stripe's")
    created = content.data.get("created")
    return content.event(
        content.text("id"),
        content.text("type"),
        content.text("data", "object", "id"),
        datetime.fromtimestamp(created, UTC) if _is_time(created) else None,
    )


def _slack(content: _Content) -> Event:
    if content.text("command"):
        command = content.text("command")
        return content.event(content.text("trigger_id"), "slash_command", command)
    if content.text("type") == "event_callback":
        return content.event(
            content.text("event_id"),
            content.text("event", "type"),
            content.text("event", "channel"),
        )
    return content.event(content.text("trigger_id"), content.text("type"))


def _sns(content: _Content) -> Event:
    """Verified, so that all signed fields are there."""
    data = content.data
    if content.text("Type") == "Notification":
        try:
            data = parse_json(data["Message"].encode())
        except Refusal:
            data = data["Message"]
    return Event(
        id=content.data["MessageId"],
        source=content.data["TopicArn"],
        type=content.data["Type"],
        subject=content.text("Subject"),
        time=_time_of(content.data["Timestamp"]),
        datacontenttype="text/plain" if isinstance(data, str) else "application/json",
        data=data,
        extensions=content.extensions,
    )


_READERS: Mapping[str, Callable[[_Content], Event]] = {
    "github": _github,
    "gitlab": _gitlab,
    "standard_webhooks": _standard_webhooks,
    "stripe": _stripe,
    "slack": _slack,
    "sns": _sns,
}
"""Senders with a form of their own. From all others CloudEvents are taken too."""


def _of_event_grid(raw: Any) -> Event:
    """One event of Event Grid's own schema, or a CloudEvent."""
    if isinstance(raw, dict) and "specversion" in raw:
        try:
            return event_from_json(raw)
        except ValueError as error:
            raise bad(f"it is no CloudEvent: {error}") from None
    named = ("id", "topic", "eventType")
    if not isinstance(raw, dict) or not all(
        isinstance(raw.get(name), str) and raw[name] for name in named
    ):
        raise bad("an event of Event Grid is an object with id, topic and eventType")
    return Event(
        id=raw["id"],
        source=raw["topic"],
        type=raw["eventType"],
        subject=raw["subject"] if isinstance(raw.get("subject"), str) and raw["subject"] else None,
        time=_time_of(raw.get("eventTime")),
        datacontenttype="application/json",
        data=raw.get("data"),
    )


def _time_of(raw: Any) -> datetime | None:
    """A time of SNS's or Event Grid's; one without a zone is UTC, and an empty one none."""
    if raw in (None, ""):
        return None
    try:
        time = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        raise bad(f"the event's time is not a time: {str(raw)[:50]!r}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _as_list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _required(request: Request, header: str) -> str:
    value = request.headers.get(header)
    if not value:
        raise bad(f"the header {header} is missing")
    return value


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**11
