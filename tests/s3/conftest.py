"""Fixtures of the S3 tests: moto and SeaweedFS as processes, queues and sources."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from temporal_runner.plugin import PullSource
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.source import make_source
from tests.s3.support import CREDENTIALS, REGION, Server, Sqs, context, needed

MakeQueue = Callable[..., Sqs]
OpenSource = Callable[..., Awaitable[PullSource]]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the standard credential chain that the machine cannot change."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """S3, SQS, SNS, EventBridge and STS, in memory."""
    binary = needed("moto_server")
    server = Server(
        lambda port: [binary, "-H", "127.0.0.1", "-p", str(port)], tmp_path_factory.mktemp("moto")
    )
    yield server
    server.stop()


@pytest.fixture
def make_queue(moto: Server) -> MakeQueue:
    """Make a queue of the test's own: `make_queue(fifo=True, VisibilityTimeout="5")`."""

    def make(*, fifo: bool = False, **attributes: str) -> Sqs:
        name = f"queue-{uuid.uuid4().hex[:12]}"
        if fifo:
            return Sqs(moto, f"{name}.fifo", FifoQueue="true", **attributes)
        return Sqs(moto, name, **attributes)

    return make


@pytest.fixture
def queue(make_queue: MakeQueue) -> Sqs:
    """A queue of the test's own."""
    return make_queue()


@pytest.fixture
def dead_letters(make_queue: MakeQueue) -> Sqs:
    """A queue for dead letters."""
    return make_queue()


@pytest.fixture
async def open_source(moto: Server) -> AsyncIterator[OpenSource]:
    """Connect a source: `await open_source(queue_url=…)`; it is closed at the end."""
    sources = []

    async def connect(*, max_in_flight: int = 100, **options: Any) -> PullSource:
        defaults = {"endpoint_url": moto.url, "wait_time": "1s"} if "bucket" not in options else {}
        source = make_source(S3Options(**{**defaults, **options}), context(max_in_flight))
        sources.append(source)
        await source.connect()
        return source

    yield connect
    for source in sources:
        await source.close()


@pytest.fixture
def bucket(moto: Server) -> str:
    """A bucket of the test's own."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    where = {"LocationConstraint": REGION}
    moto.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)
    return name
