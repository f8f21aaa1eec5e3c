"""What webhook tests share: a source on a real port, a recorder behind it, senders that sign."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx

from temporal_runner.plugin import Accepted, Delivery, Event, SourceContext
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.source import WebhookSource
from tests.support import ThreadedServer

SECRET = "a-secret-of-the-tests-here"
OPEN: dict[str, Any] = {"verify": {"scheme": "none"}}
"""Options of a listener that verifies nothing."""
ACCEPTED = Accepted(action="start", workflow_id="order-1", run_id="run-1")
Settle = Callable[[Delivery], Awaitable[None]]


async def accept(delivery: Delivery) -> None:
    """Settle as the runner does when Temporal started a workflow."""
    await delivery.ack(ACCEPTED)


@dataclass
class Recorder:
    """Stands where the runner's listener stands: keeps each event and settles it as it is told."""

    settle: Settle = accept
    events: list[Event] = field(default_factory=list)

    async def __call__(self, delivery: Delivery) -> None:
        self.events.append(delivery.event)
        await self.settle(delivery)


@dataclass
class Listening:
    """A webhook source at work."""

    source: WebhookSource
    recorder: Recorder
    url: str
    host: str
    port: int
    http: httpx.AsyncClient
    serving: asyncio.Task[None]

    @property
    def events(self) -> list[Event]:
        return self.recorder.events

    @property
    def event(self) -> Event:
        """The only event that arrived."""
        assert len(self.events) == 1, self.events
        return self.events[0]

    async def post(
        self, body: bytes | str | object = b"{}", *, query: str = "", **headers: str
    ) -> httpx.Response:
        """POST a body, as JSON where nothing else is said; `_` in header names is `-`."""
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("content-type", "application/json")
        return await self.http.post(self.url + query, content=body, headers=named)

    async def raw(self, request: bytes, *, within: float = 10.0) -> bytes:
        """Send bytes as they are; all that comes back until the other side closes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(within):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def make_options(options: Mapping[str, Any]) -> WebhookOptions:
    """Options as they come out of a config file; the port is a free one where none is given."""
    written = {"port": 0, "path": "/hooks", **options}
    return WebhookOptions.model_validate_json(json.dumps(written), strict=True)


@contextlib.asynccontextmanager
async def listening(
    options: Mapping[str, Any] = OPEN, settle: Settle = accept, **more: Any
) -> AsyncIterator[Listening]:
    """Run a source with these options (and more of them by keyword) on a real port."""
    read = make_options({**options, **more})
    log: logging.LoggerAdapter[logging.Logger] = logging.LoggerAdapter(
        logging.getLogger("temporal_runner.listeners"), {}
    )
    source = WebhookSource(read, SourceContext("hooks", 100, log))
    recorder = Recorder(settle)
    await source.connect()
    serving = asyncio.create_task(source.serve(recorder))
    try:
        port = source.port
        url = f"http://{read.host}:{port}{read.path}"
        async with httpx.AsyncClient(timeout=15, trust_env=False) as http:
            yield Listening(source, recorder, url, read.host, port, http, serving)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await source.close()


def check_problem(answer: httpx.Response, status: int, says: str = "") -> None:
    """A refusal has its status and a problem body (RFC 9457) which says the same."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"] == "about:blank"
    assert says in problem["detail"], problem


class Site(ThreadedServer):
    """A web site on loopback, in a thread: what an issuer or Amazon publishes.

    Attributes:
        pages: The bodies by path; a path that is not there is 404.
        asked: The paths that were asked for.
    """

    def __init__(self, pages: dict[str, bytes] | None = None) -> None:
        self.pages = dict(pages or {})
        self.asked: list[str] = []
        site = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                body = site.pages.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(Answering)

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


def parse_raw(answer: bytes) -> httpx.Response:
    """The first answer out of raw bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return httpx.Response(int(first.split()[1]), headers=headers, content=body)


# Senders: each signs by its own published scheme. ------------------------------------------------

Signed = dict[str, str]


def sign_github(body: bytes, secret: str = SECRET, **_: object) -> Signed:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def standard_secret(secret: str = SECRET) -> str:
    """A secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secret.encode()).decode()


def sign_standard(body: bytes, secret: str = SECRET, *, at: float | None = None) -> Signed:
    stamp = str(int(time.time() if at is None else at))
    signed = f"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W.{stamp}.".encode() + body
    digest = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
    return {
        "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def sign_stripe(body: bytes, secret: str = SECRET, *, at: float | None = None) -> Signed:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={digest},v0={'0' * 64}"}


def sign_slack(body: bytes, secret: str = SECRET, *, at: float | None = None) -> Signed:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}
