"""Fixtures of the S3 tests: moto and SeaweedFS as processes, queues and sources."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from temporal_runner.plugin import PullSource
from temporal_runner_s3.config import S3Options
from temporal_runner_s3.queue import make_source
from tests.s3.support import CREDENTIALS, REGION, Server, Sqs, context, free_ports, needed
from tests.support import ROOT, wait_until

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
    """S3, SQS, SNS, EventBridge and STS, in memory; it loses no message."""
    command = [sys.executable, str(ROOT / "tests/s3/emulator.py"), "-H", "127.0.0.1"]
    server = Server(lambda port: [*command, "-p", str(port)], tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server, its data on disk."""
    binary, folder = needed("weed"), tmp_path_factory.mktemp("seaweed")

    def command(port: int) -> list[str]:
        services = ("master.port", "volume.port", "filer.port")
        names = [*services, *(f"{name}.grpc" for name in services), "s3.port.grpc"]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        ports |= {"s3.port": port, "s3.port.iceberg": 0, "s3.port.lance": 0}
        options = [f"-{name}={number}" for name, number in ports.items()]
        # Each bucket takes several volumes, small ones here.
        return [
            binary,
            *("server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-filer", "-s3", "-volume.max=1000", "-master.volumeSizeLimitMB=16"),
            *(f"-{name}.localSocket={folder / name}.sock" for name in ("filer", "s3")),
            *options,
        ]

    server = Server(command, folder)
    wait_until(lambda: writes(server), within=60, what="SeaweedFS to take objects")
    yield server
    server.stop()


def writes(server: Server) -> bool:
    """Whether it takes objects by now."""
    try:
        server.client("s3").create_bucket(Bucket="warm-up")
        server.client("s3").put_object(Bucket="warm-up", Key="k", Body=b"v")
    except (ClientError, BotoCoreError):
        return False
    return True


@pytest.fixture
def real_bucket(seaweed: Server) -> str:
    """A bucket of the test's own on SeaweedFS."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    seaweed.client("s3").create_bucket(Bucket=name)
    return name


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
        defaults = {"endpoint_url": moto.url}
        if options.get("mode") != "list":
            defaults["wait_time"] = "1s"
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
