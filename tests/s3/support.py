"""What the S3 tests share: AWS servers as processes, saved messages, a source of the test's own."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest

from temporal_runner.plugin import Delivery, PullSource, SourceContext
from tests.support import BIN, ROOT, ThreadedServer, free_port, wait_until

DATA = ROOT / "tests" / "data" / "s3"
REGION = "eu-central-1"
ACCOUNT = "123456789012"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def saved(name: str) -> str:
    """A message as the service sends it."""
    return (DATA / f"{name}.json").read_text(encoding="utf-8")


def in_sns(message: str) -> str:
    """The same in an SNS envelope."""
    return json.dumps({**json.loads(saved("sns-envelope")), "Message": message})


def notification(bucket: str, key: str, sequencer: str, etag: str = "d41d8cd9") -> str:
    """S3's own notification of an object, the key encoded already."""
    content = json.loads(saved("notification-put"))
    s3 = content["Records"][0]["s3"]
    s3["bucket"].update(name=bucket, arn=f"arn:aws:s3:::{bucket}")
    s3["object"].update(key=key, sequencer=sequencer, eTag=etag)
    return json.dumps(content)


def event_bridge(bucket: str, key: str, sequencer: str) -> str:
    """EventBridge's event of an object."""
    content = json.loads(saved("eventbridge-created"))
    content["detail"]["bucket"]["name"] = bucket
    content["detail"]["object"].update(key=key, sequencer=sequencer)
    return json.dumps(content)


def several(*messages: str) -> str:
    """One notification with the records of several."""
    return json.dumps({"Records": [json.loads(message)["Records"][0] for message in messages]})


def needed(binary: str) -> str:
    """A server's binary; where it is missing the test is skipped, and in CI fails."""
    path = BIN / binary
    if path.exists():
        return str(path)
    if os.environ.get("CI"):
        pytest.fail(f"{binary} is not installed")
    pytest.skip(f"{binary} is not installed: make setup")


def free_ports(count: int) -> list[int]:
    """So many different ports that nothing listened at a moment ago."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def port_is_open(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


class Server:
    """A server as a process, and boto3's clients of it."""

    def __init__(self, command: Callable[[int], Sequence[str]], cwd: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._clients: dict[str, Any] = {}
        self._process = subprocess.Popen(
            command(self.port), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: port_is_open(self.port), within=60, what=f"{self.url} to open")

    def client(self, service: str) -> Any:
        """A client, made once."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def stop(self) -> None:
        """End it."""
        for client in self._clients.values():
            client.close()
        self._process.kill()
        self._process.wait()


class Gate(ThreadedServer):
    """An HTTP server in front of another: passes requests on, or refuses them as AWS does.

    Attributes:
        refusal: The error code that every request is answered with; empty to pass them on.
        keys: The access keys that requests were signed with.
        receives: The most ReceiveMessage calls that were under way at a time.
    """

    def __init__(self, behind: Server) -> None:
        self.refusal = ""
        self.keys: set[str] = set()
        self.receives = 0
        self._receiving = 0
        self._counting = threading.Lock()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signed = re.search(r"Credential=([^/]+)/", self.headers["Authorization"])
                gate.keys.add(signed[1] if signed else "")
                status, content = gate._answer(behind, self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Type", self.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        super().__init__(Handler)
        self.url = f"http://{self.host}"

    def _answer(
        self, behind: Server, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if self.refusal:
            return 400, json.dumps({"__type": self.refusal, "message": "refused"}).encode()
        receives = headers.get("X-Amz-Target", "").endswith(".ReceiveMessage")
        with self._counting:
            self._receiving += receives
            self.receives = max(self.receives, self._receiving)
        try:
            answer = httpx.post(f"{behind.url}{path}", content=body, headers=headers, timeout=30)
        finally:
            with self._counting:
                self._receiving -= receives
        return answer.status_code, answer.content


class Sqs:
    """One queue on moto, looked at from outside."""

    def __init__(self, server: Server, name: str, **attributes: str) -> None:
        self._client = server.client("sqs")
        self.name = name
        self.arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        self.url: str = self._client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def send(self, body: str, group: str | None = None, unique: str | None = None) -> str:
        """Put a message in, and return its ID."""
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": unique} if group else {}
        sent = self._client.send_message(QueueUrl=self.url, MessageBody=body, **fifo)
        return str(sent["MessageId"])

    def redrive_to(self, other: Sqs, *, after: int) -> None:
        """Have the queue move what was received too often."""
        policy = json.dumps({"deadLetterTargetArn": other.arn, "maxReceiveCount": after})
        self._client.set_queue_attributes(QueueUrl=self.url, Attributes={"RedrivePolicy": policy})

    def send_all(self, bodies: Sequence[str]) -> None:
        """Put many messages in."""
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(i), "MessageBody": body}
                for i, body in enumerate(bodies[start : start + 10])
            ]
            answer = self._client.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed")

    def counts(self) -> tuple[int, int]:
        """How many messages are visible, and hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return int(answer["Attributes"][names[0]]), int(answer["Attributes"][names[1]])

    @property
    def empty(self) -> bool:
        """No message is in it; looked at twice, as one may turn visible in between."""
        return self.counts() == (0, 0) == self.counts()

    def drain(self) -> list[dict[str, Any]]:
        """Take all visible messages out, with their attributes."""
        messages: list[dict[str, Any]] = []
        while batch := self._client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages"):
            messages += batch
            for message in batch:
                self._client.delete_message(
                    QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"]
                )
        return messages


def reason_of(message: Mapping[str, Any]) -> str:
    """The reason of a dead letter."""
    return str(message["MessageAttributes"]["reason"]["StringValue"])


def context(max_in_flight: int = 100) -> SourceContext:
    """What the runner would tell a source."""
    log = logging.LoggerAdapter(logging.getLogger("temporal_runner.listeners"), {})
    return SourceContext("uploads", max_in_flight, log)


async def receive(source: PullSource, count: int, *, within: float = 10.0) -> list[Delivery]:
    """Receive until there are so many deliveries."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(within):
        while len(deliveries) < count:
            deliveries += await source.receive()
    return deliveries


async def nothing(source: PullSource, *, during: float) -> None:
    """Receive for a while, and fail if anything comes."""
    deliveries: list[Delivery] = []
    try:
        async with asyncio.timeout(during):
            while not deliveries:
                deliveries += await source.receive()
    except TimeoutError:
        return
    raise AssertionError(f"received {[one.event.id for one in deliveries]}")


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], *, within: float = 10.0, what: str = ""
) -> None:
    """Wait until the condition holds, without holding up the loop."""
    until = time.monotonic() + within
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        assert time.monotonic() < until, f"not within {within:g}s: {what or condition}"
        await asyncio.sleep(0.05)
