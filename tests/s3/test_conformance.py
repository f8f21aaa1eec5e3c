"""The source passes the kit that an outsider's source passes, in each of its forms."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from temporal_runner.plugin import Event, EventSource, SourceContext
from temporal_runner.testing import EventSourceConformance
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.queue import make_source
from tests.s3.conftest import MakeQueue
from tests.s3.support import Server, Sqs, notification, reason_of
from tests.support import free_port

_sequencers = itertools.count(1)


class _OfQueue(EventSourceConformance):
    keeps_rejected = True
    patience = 20.0
    quiet = 1.2
    secrets = ("tenant-7",)

    queue: Sqs
    dead: Sqs
    url: str

    def options(self, **changes: object) -> S3Options:
        # A secret to look for, and a role that nothing here asks about.
        role = {"role_arn": "arn:aws:iam::123456789012:role/reader", "external_id": "tenant-7"}
        given = {
            "queue_url": self.queue.url,
            "dead_letter_queue_url": self.dead.url,
            "endpoint_url": self.url,
            "assume_role": {**role, "sts_endpoint_url": self.url},
            "visibility_timeout": "2s",
            "wait_time": "1s",
            "backoff": "1s",
            "max_receives": 2,
        }
        return S3Options.model_validate({**given, **changes})

    def make_source(self, context: SourceContext) -> EventSource:
        return make_source(self.options(), context)

    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        return make_source(self.options(endpoint_url=f"http://127.0.0.1:{free_port()}"), context)

    async def dead_letters(self) -> Mapping[str, str]:
        return {
            letter["MessageAttributes"]["event_id"]["StringValue"].split("@")[0].split("/")[1]: (
                reason_of(letter)
            )
            for letter in self.dead.drain()
        }


class TestQueue(_OfQueue):
    """mode: queue."""

    @pytest.fixture(autouse=True)
    def _empty(self, moto: Server, make_queue: MakeQueue) -> None:
        self.queue, self.dead, self.url = make_queue(), make_queue(), moto.url

    async def put(self, name: str) -> None:
        self.queue.send(notification("b", name, f"{next(_sequencers):X}"))

    async def put_malformed(self) -> None:
        self.queue.send("no event at all")


class TestFifoQueue(_OfQueue):
    """mode: queue on a FIFO queue, all events in one group."""

    ordered = True

    @pytest.fixture(autouse=True)
    def _empty(self, moto: Server, make_queue: MakeQueue) -> None:
        self.queue, self.dead, self.url = make_queue(fifo=True), make_queue(fifo=True), moto.url

    async def put(self, name: str) -> None:
        number = next(_sequencers)
        self.queue.send(notification("b", name, f"{number:X}"), group="g", unique=str(number))

    async def put_malformed(self) -> None:
        self.queue.send("no event at all", group="g", unique=str(next(_sequencers)))


class TestList(EventSourceConformance):
    """mode: list."""

    patience = 20.0
    quiet = 0.5

    @pytest.fixture(autouse=True)
    def _empty(self, seaweed: Server, real_bucket: str) -> None:
        self.server, self.bucket = seaweed, real_bucket

    def options(self, **changes: object) -> S3Options:
        given = {
            "mode": "list",
            "bucket": self.bucket,
            "endpoint_url": self.server.url,
            "poll_interval": "100ms",
        }
        return S3Options.model_validate({**given, **changes})

    def make_source(self, context: SourceContext) -> EventSource:
        return make_source(self.options(), context)

    def make_unreachable_source(self, context: SourceContext) -> EventSource:
        return make_source(self.options(endpoint_url=f"http://127.0.0.1:{free_port()}"), context)

    async def put(self, name: str) -> None:
        content = name.encode()
        self.server.client("s3").put_object(Bucket=self.bucket, Key=name, Body=content)

    async def put_malformed(self) -> None:
        self.server.client("s3").put_object(Bucket=self.bucket, Key="folder/", Body=b"")

    def name_of(self, event: Event) -> str | None:
        return event.data["object"]["key"]  # type: ignore[no-any-return]
