"""The webhook source passes the kit, as each of its senders sees it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from temporal_runner.plugin import Event, SourceContext
from temporal_runner.testing import EventSourceConformance, Sent
from temporal_runner_webhook.source import WebhookSource
from tests.support import free_port
from tests.webhook.support import SECRET, make_options, standard_secret


class Conformance(EventSourceConformance):
    """What the kit asks for, but for how a sender proves itself and what it sends."""

    secrets = (SECRET, standard_secret())
    verify: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _port(self) -> None:
        self.port = free_port()

    def make_source(self, context: SourceContext) -> WebhookSource:
        return WebhookSource(make_options({"port": self.port, "verify": self.verify}), context)

    def request(self, name: str) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of an event."""
        raise NotImplementedError

    async def put(self, name: str) -> Sent:
        return await self._send(*self.request(name))

    async def put_malformed(self) -> Sent:
        body, headers = self.request("malformed")
        return await self._send(body[:-1], headers)

    async def _send(self, body: bytes, headers: dict[str, str]) -> Sent:
        headers = {"content-type": "application/json", **headers}
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            url = f"http://127.0.0.1:{self.port}/hooks"
            answer = await http.post(url, content=body, headers=headers)
        if answer.status_code < 300:
            return "accepted"
        return "again" if answer.status_code in {429, 503} else "refused"

    def name_of(self, event: Event) -> str | None:
        name: str | None = event.data["name"]
        return name


class TestStandardWebhooks(Conformance):
    """Signed, with an ID of the sender's."""

    verify = {"scheme": "standard_webhooks", "secrets": [standard_secret()]}

    def request(self, name: str) -> tuple[bytes, dict[str, str]]:
        body, stamp = json.dumps({"name": name}).encode(), str(int(time.time()))
        digest = hmac.digest(SECRET.encode(), f"{name}.{stamp}.".encode() + body, "sha256")
        return body, {
            "webhook-id": name,
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }


class TestApiKey(Conformance):
    """Without an ID of the sender's: the body tells events apart."""

    verify = {"scheme": "api_key", "keys": [SECRET]}

    def request(self, name: str) -> tuple[bytes, dict[str, str]]:
        return json.dumps({"name": name}).encode(), {"x-api-key": SECRET}


class TestCloudEvents(Conformance):
    """In binary mode, with attributes of its own."""

    verify = {"scheme": "api_key", "keys": [SECRET]}

    def request(self, name: str) -> tuple[bytes, dict[str, str]]:
        attributes = {"specversion": "1.0", "id": name, "source": "/kit", "type": "named"}
        headers = {f"ce-{attribute}": value for attribute, value in attributes.items()}
        return json.dumps({"name": name}).encode(), {"x-api-key": SECRET, **headers}
