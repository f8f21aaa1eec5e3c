"""The webhook source: from request to deliveries to answer.

A request is answered 2xx only after its deliveries are settled: 202 when Temporal accepted it, 200
when Temporal had it already or no route wants it. Every refusal has a problem body (RFC 9457).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from temporal_runner.plugin import (
    Deliver,
    HttpAnswer,
    HttpRequest,
    HttpServer,
    PushSource,
    SourceContext,
    TlsOptions,
)
from temporal_runner_webhook.answers import Answers, WebhookDelivery, problem
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.handshakes import allow_origin, allowed_origins, handshake
from temporal_runner_webhook.limits import Held, Limits
from temporal_runner_webhook.mapping import EventReader
from temporal_runner_webhook.request import Refusal, Request, Single, read_body
from temporal_runner_webhook.schemes import EventGridVerification
from temporal_runner_webhook.verify import make_verify


class WebhookSource(PushSource):
    """Serves one path on one port."""

    def __init__(self, options: WebhookOptions, context: SourceContext) -> None:
        self._options = options
        self._log = context.log
        self._scheme = options.verify.scheme
        self._verify = make_verify(options.verify)
        self._reader = EventReader(options)
        self._limits = Limits(options)
        self._answers = Answers(options.response)
        self._origins = allowed_origins(options.verify, options.allowed_origins)
        self._body_timeout = options.body_timeout.total_seconds()
        tls = options.tls or TlsOptions.model_construct(cert_path="")
        self._server = HttpServer(
            self._answer,
            host=options.host,
            port=options.port,
            path=options.path,
            cert_path=tls.cert_path,
            key_path=tls.key_path,
            client_ca_path=tls.client_ca_path,
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
        """Its URL, and a line to try it with where no proof is asked for."""
        scheme = "https" if self._options.tls else "http"
        url = f"{scheme}://{self._options.host}:{self._server.port}{self._options.path}"
        if self._scheme != "none":
            return f"POST {url}"
        return (
            f"POST {url}\n"
            f"try: curl -i {url} -H 'Content-Type: application/json' -d '{{\"order\": \"A-1\"}}'"
        )

    # One request.

    async def _answer(self, asked: HttpRequest) -> HttpAnswer | None:
        try:
            held = self._limits.enter()
            try:
                return await self._take(asked, held)
            finally:
                held.leave()
        except Refusal as refusal:
            return problem(refusal)
        except Exception:
            self._log.exception("answering a request failed")
            fault = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the runner's log says more")
            return problem(fault)

    async def _take(self, asked: HttpRequest, held: Held) -> HttpAnswer | None:
        """From request to answer; None where the sender went away."""
        if asked.method == "OPTIONS":
            return await self._preflight(Request(_headers(asked), asked.query_string, b""))
        if asked.method != "POST":
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, "only POST is taken here", ((b"allow", b"POST"),)
            )
        options = self._options
        body = await read_body(
            asked, most=options.max_body, within=self._body_timeout, hold=held.hold
        )
        if body is None:
            return None
        request = Request(_headers(asked), asked.query_string, body)
        await self._verify(request)
        events = self._reader.read(request)
        # A question may share its batch with events, in any order: both are seen to.
        answers = [await handshake(self._scheme, event, self._verify) for event in events]
        answer = next((one for one in answers if one is not None), None)
        events = [event for event, own in zip(events, answers, strict=True) if own is None]
        if answer is not None and not events:
            return answer
        self._limits.take(len(events))
        deliveries = [WebhookDelivery(event) for event in events]
        await self._settle(deliveries)
        for delivery in deliveries:
            if delivery.outcome == "nacked":
                self._log.debug("event %s is to come again: %s", delivery.event.id, delivery.reason)
        if answer is not None and all(one.outcome != "nacked" for one in deliveries):
            return answer
        return self._answers.to(deliveries)

    async def _preflight(self, request: Request) -> HttpAnswer:
        answer = allow_origin(request.headers, self._origins)
        settings = self._options.verify
        if isinstance(settings, EventGridVerification) and settings.query:
            await self._verify(request)
        return answer

    async def _settle(self, deliveries: list[WebhookDelivery]) -> None:
        if self._deliver is None:
            for delivery in deliveries:
                await delivery.nack("the listener is starting")
        elif len(deliveries) == 1:
            await self._deliver(deliveries[0])
        else:
            async with asyncio.TaskGroup() as batch:
                for delivery in deliveries:
                    batch.create_task(_deliver_one(self._deliver, delivery))


def _headers(asked: HttpRequest) -> Mapping[str, str]:
    return Single(asked.headers, asked.repeated) if asked.repeated else asked.headers


async def _deliver_one(deliver: Deliver, delivery: WebhookDelivery) -> None:
    await deliver(delivery)
