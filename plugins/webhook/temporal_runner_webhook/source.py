"""The webhook source: one bare ASGI application, from request to delivery to answer.

A request is answered 2xx only after its delivery is settled: 202 when Temporal accepted it, 200
when Temporal had it already or no route wants it. Every refusal has a problem body (RFC 9457).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pydantic_core import from_json

from temporal_runner.plugin import (
    Accepted,
    Deliver,
    Delivery,
    Event,
    HttpServer,
    PushSource,
    SourceContext,
)
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.verify import Headers, make_verify

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_ID_HEADERS = {"github": "x-github-delivery", "standard_webhooks": "webhook-id"}
_TYPE_HEADERS = {"github": "x-github-event"}
_NOT_SHOWN = ("authorization", "cookie", "proxy-authorization", "x-api-key")
_RETRY_AFTER = 5
"""Seconds, where whoever refuses does not say."""


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """A request that is answered with a problem body."""

    status: HTTPStatus
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class WebhookDelivery(Delivery):
    """A request under way; settling it decides the answer.

    Attributes:
        status: The answer's status.
        body: The answer's body.
        retry_after: Seconds, for a 503.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    body: dict[str, Any]
    retry_after: float | None = None

    async def ack(self, accepted: Accepted) -> None:
        """202, or 200 where nothing new was started."""
        if not accepted.action:
            self.status, self.body = HTTPStatus.OK, {"status": "ignored"}
            return
        self.status = HTTPStatus.OK if accepted.duplicate else HTTPStatus.ACCEPTED
        self.body = {"status": "duplicate" if accepted.duplicate else "accepted"}
        if accepted.workflow_id:
            self.body["workflow_id"] = accepted.workflow_id
        if accepted.run_id:
            self.body["run_id"] = accepted.run_id

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """503 with Retry-After."""
        self.retry_after = retry_after or _RETRY_AFTER
        self.status, self.body = HTTPStatus.SERVICE_UNAVAILABLE, {"detail": reason}

    async def reject(self, reason: str) -> None:
        """422: the sender keeps it, or shows it to its owner."""
        self.status, self.body = HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": reason}


class WebhookSource(PushSource):
    """Serves one path on one port."""

    def __init__(self, options: WebhookOptions, context: SourceContext) -> None:
        scheme = options.verify.scheme
        self._options = options
        self._log = context.log
        self._verify = make_verify(options.verify)
        self._id_header = (options.id_header or _ID_HEADERS.get(scheme, "")).lower()
        self._type_header = (options.type_header or _TYPE_HEADERS.get(scheme, "")).lower()
        self._body_timeout = options.body_timeout.total_seconds()
        self._hidden = {getattr(options.verify, "header", "").lower()}
        self._server = HttpServer(
            self._app, host=options.host, port=options.port, path=options.path
        )
        self._deliver: Deliver | None = None

    @property
    def port(self) -> int:
        """The port; where the options ask for 0, the one that was picked."""
        return self._server.port

    async def connect(self) -> None:
        """Open the port."""
        await self._server.start()

    async def serve(self, deliver: Deliver) -> None:
        """Answer requests until cancelled, then finish those under way."""
        self._deliver = deliver
        try:
            await self._server.wait()
        finally:
            await self._server.stop()

    async def close(self) -> None:
        """Close the port."""
        await self._server.stop()

    def describe(self) -> str:
        """Its URL, and a line to try it with where no signature is asked for."""
        url = f"http://{self._options.host}:{self._server.port}{self._options.path}"
        if self._options.verify.scheme != "none":
            return f"POST {url}"
        return (
            f"POST {url}\n"
            f"try: curl -i {url} -H 'Content-Type: application/json' -d '{{\"order\": \"A-1\"}}'"
        )

    # One request.

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            delivery = await self._handle(scope, receive)
        except Refusal as refusal:
            await _answer_problem(send, refusal)
            return
        if delivery is None:
            return
        if delivery.status < HTTPStatus.BAD_REQUEST:
            await _answer(send, delivery.status, b"application/json", delivery.body, ())
            return
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if delivery.retry_after is not None:
            headers = ((b"retry-after", str(max(1, round(delivery.retry_after))).encode()),)
        await _answer_problem(send, Refusal(delivery.status, delivery.body["detail"], headers))

    async def _handle(self, scope: Scope, receive: Receive) -> WebhookDelivery | None:
        """From request to settled delivery; None where the sender went away."""
        if scope["method"] != "POST":
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, "only POST is taken here", ((b"allow", b"POST"),)
            )
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        body = await self._read(headers, receive)
        if body is None:
            return None
        if refused := self._verify(headers, body):
            raise Refusal(HTTPStatus.UNAUTHORIZED, refused)
        delivery = WebhookDelivery(self._event(headers, body))
        if self._deliver is None:
            await delivery.nack("the listener is starting")
        else:
            await self._deliver(delivery)
        return delivery

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The raw body, capped in size and time; None where the sender went away."""
        most = self._options.max_body
        too_large = Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most} bytes"
        )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            raise too_large
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > most:
                        raise too_large
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except TimeoutError:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT,
                "the body did not arrive in time",
                ((b"connection", b"close"),),
            ) from None

    def _event(self, headers: Headers, body: bytes) -> Event:
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        if headers.get("content-encoding", "identity") != "identity":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must not be compressed")
        try:
            data = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from None
        return Event(
            id=self._event_id(headers, body),
            source=self._options.path,
            type=self._event_type(headers, data),
            time=datetime.now(UTC),
            datacontenttype=media_type,
            data=data,
            extensions={"headers": _shown(headers, self._hidden)},
        )

    def _event_id(self, headers: Headers, body: bytes) -> str:
        if not self._id_header:
            return hashlib.sha256(body).hexdigest()[:32]
        value = headers.get(self._id_header)
        if not value:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the header {self._id_header} is missing")
        return value

    def _event_type(self, headers: Headers, data: Any) -> str:
        if self._type_header and (value := headers.get(self._type_header)):
            return value
        of_body = data.get("type") if isinstance(data, dict) else None
        return of_body if isinstance(of_body, str) and of_body else "webhook"


def _shown(headers: Headers, hidden: Collection[str]) -> dict[str, str]:
    """The headers that routes may use: not those that prove who sent it."""
    return {
        name: value
        for name, value in headers.items()
        if name not in _NOT_SHOWN
        and name not in hidden
        and "signature" not in name
        and "token" not in name
    }


async def _answer_problem(send: Send, refusal: Refusal) -> None:
    problem = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": refusal.status.value,
        "detail": refusal.detail,
    }
    await _answer(send, refusal.status, b"application/problem+json", problem, refusal.headers)


async def _answer(
    send: Send,
    status: HTTPStatus,
    media_type: bytes,
    body: dict[str, Any],
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    content = json.dumps(body).encode()
    length = str(len(content)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status.value,
            "headers": [(b"content-type", media_type), (b"content-length", length), *headers],
        }
    )
    await send({"type": "http.response.body", "body": content})
