"""The system of docker-compose.yml at work in a project of a test's own, with the emulators."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from tests.containers.engine import docker, run
from tests.support import ROOT, Answer, free_port, http, wait_until

WORKERS = ("document-processing-worker", "chat-session-worker", "root-orchestrator-worker")
QUEUES = ("s3-event-listener", "azure-blob-listener")
WEBHOOK = "webhook-listener"
NEED_TEMPORAL = (*WORKERS, *QUEUES)
"""Who is of no use while Temporal is away; the webhook's listener has an inbox."""
RUNNERS = (*NEED_TEMPORAL, WEBHOOK)
FILE = ROOT / "docker-compose.yml"
EMULATORS = ROOT / "tests" / "containers" / "emulators.yml"
REGION, BUCKET, QUEUE = "eu-central-1", "uploads", "uploads"
ACCOUNT = "runnertests"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class Stack:
    """One project: unique in name and ports; gone with all that it has when its block ends."""

    alive: ClassVar[list[Stack]] = []

    def __init__(self, compose: list[str], images: dict[str, str], folder: Path) -> None:
        self.project = f"runner-test-{uuid.uuid4().hex[:8]}"
        self.azure_key = secrets.token_urlsafe(66)[:88].replace("-", "+").replace("_", "/")
        self.secret = secrets.token_hex(32)
        names = ("TEMPORAL", "TEMPORAL_UI", "WEBHOOK", "MOTO", "AZURITE_BLOB", "AZURITE_QUEUE")
        self.ports = {name: free_port() for name in names}
        self.settings = {
            **images,
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
            **KEYS,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": "http://moto:5000",
            "UPLOADS_QUEUE_URL": f"http://moto:5000/123456789012/{QUEUE}",
            "AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.azure_key}",
            "AZURE_STORAGE_CONNECTION_STRING": self.azure_connection("azurite", 10000, 10001),
            "AZURE_EVENTS_QUEUE": QUEUE,
            "WEBHOOK_SECRET": self.secret,
        }
        self.env_file = folder / f"{self.project}.env"
        self.env_file.write_text("".join(f"{k}={v}\n" for k, v in self.settings.items()))
        self._compose = compose

    # Compose.

    def compose(self, *arguments: object, emulators: bool = True, within: float = 120) -> str:
        """Run docker-compose on this project; what it printed."""
        files = (FILE, EMULATORS) if emulators else (FILE,)
        options = ["--project-name", self.project, "--env-file", self.env_file]
        options += [option for file in files for option in ("-f", file)]
        done = run(*self._compose, *options, *arguments, within=within)
        return done.stdout + done.stderr

    def up(self, *services: str, dependencies: bool = True) -> None:
        """Start services, or all; without waiting for anything of them."""
        self.compose("up", "-d", "--no-build", *(() if dependencies else ("--no-deps",)), *services)

    def __enter__(self) -> Stack:
        self.alive.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.alive.remove(self)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", 0)

    # Containers.

    def containers(self) -> dict[str, dict[str, Any]]:
        """What `docker inspect` says of each service's container."""
        label = f"label=com.docker.compose.project={self.project}"
        ids = docker("ps", "--all", "--quiet", "--filter", label).split()
        found = json.loads(docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def container(self, service: str) -> str:
        """A service's container, by its ID."""
        return str(self.containers()[service]["Id"])

    def health(self) -> dict[str, str]:
        """Each container's health, as Docker sees it; of those that have a check."""
        found = {name: one["State"].get("Health") for name, one in self.containers().items()}
        return {name: health["Status"] for name, health in found.items() if health}

    def restarts(self, services: Iterable[str] = RUNNERS) -> dict[str, int]:
        """How often Docker has started each container again."""
        containers = self.containers()
        return {service: containers[service]["RestartCount"] for service in services}

    def lives(self, services: Iterable[str] = RUNNERS) -> dict[str, tuple[str, int]]:
        """When each container was started, and its first process: the same as long as it lives."""
        containers = self.containers()
        states = {service: containers[service]["State"] for service in services}
        return {name: (state["StartedAt"], state["Pid"]) for name, state in states.items()}

    def log(self, service: str) -> str:
        """What a container has printed."""
        done = run("docker", "logs", self.container(service))
        return done.stdout + done.stderr

    def said(self) -> list[tuple[str, str]]:
        """The end of each container's log, with its state."""
        states = {name: one["State"]["Status"] for name, one in self.containers().items()}
        return [(f"{name}: {state}", self.log(name)[-3000:]) for name, state in states.items()]

    def wait_health(
        self, status: str, services: Iterable[str] = RUNNERS, *, within: float = 90
    ) -> dict[str, float]:
        """Wait until Docker calls them all healthy (or so); the monotonic time of each."""
        seen: dict[str, float] = {}
        wanted = set(services)

        def all_seen() -> bool:
            for name, health in self.health().items():
                if name in wanted and health == status:
                    seen.setdefault(name, time.monotonic())
            return wanted <= set(seen)

        try:
            wait_until(all_seen, within=within)
        except AssertionError:
            raise AssertionError(f"not all {status} within {within}s: {self.health()}") from None
        return seen

    # Temporal.

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports['TEMPORAL']}"

    async def client(self) -> Client:
        """A client of the stack's Temporal."""
        return await Client.connect(self.address, data_converter=pydantic_data_converter)

    def wait_serving(self, *, within: float = 60) -> float:
        """Wait until Temporal is serving; the monotonic time of that."""

        async def serving() -> float:
            until = time.monotonic() + within
            while True:
                try:
                    if await (await self.client()).service_client.check_health():
                        return time.monotonic()
                except (RuntimeError, RPCError):
                    assert time.monotonic() < until, f"Temporal does not serve within {within}s"
                await asyncio.sleep(0.02)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, serving()).result()

    @contextmanager
    def without_temporal(self, *, cut: bool) -> Iterator[None]:
        """Temporal's container killed, or its network cut, as long as this block runs."""
        container, network = self.container("temporal"), f"{self.project}_default"
        if cut:
            docker("network", "disconnect", network, container)
        else:
            docker("kill", container)
        yield
        if cut:
            docker("network", "connect", "--alias", "temporal", network, container)
        else:
            docker("start", container)

    async def report(self) -> dict[str, dict[str, Any]]:
        """What the orchestrator says became of the events: by subject."""
        handle = (await self.client()).get_workflow_handle("root-orchestrator")
        try:
            report: dict[str, Any] = await handle.query("report")
        except RPCError:  # it is not there yet, or its worker is just starting
            return {}
        return {outcome["subject"]: outcome for outcome in report["outcomes"]}

    # What comes from outside.

    def start_emulators(self) -> None:
        """S3 with a bucket whose events go to an SQS queue; an Azure queue and a container."""
        self.up("moto", "azurite", dependencies=False)
        moto, blobs, queues = (
            f"http://127.0.0.1:{self.ports[name]}/"
            for name in ("MOTO", "AZURITE_BLOB", "AZURITE_QUEUE")
        )
        for url in (moto, blobs, queues):
            wait_until(lambda url=url: http("GET", url).status, what=url)  # type: ignore[misc]
        s3, sqs = self.aws("s3"), self.aws("sqs")
        place = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        told = {"QueueArn": attributes["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [told]}
        )
        self.azure(
            lambda blobs, queues: (blobs.create_container(BUCKET), queues.create_queue(QUEUE))
        )

    def aws(self, service: str) -> Any:
        """A client of the AWS emulator."""
        import boto3  # type: ignore[import-untyped]

        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.ports['MOTO']}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def azure_connection(self, host: str, blob_port: int, queue_port: int) -> str:
        """The account's connection string, as seen from one side or the other."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self.azure_key};"
            f"BlobEndpoint=http://{host}:{blob_port}/{ACCOUNT};"
            f"QueueEndpoint=http://{host}:{queue_port}/{ACCOUNT};"
        )

    def azure(self, use: Callable[[Any, Any], object]) -> None:
        """Do something with the account's blobs and queues."""
        from azure.storage.blob import BlobServiceClient
        from azure.storage.queue import QueueServiceClient

        ports = self.ports["AZURITE_BLOB"], self.ports["AZURITE_QUEUE"]
        connection = self.azure_connection("127.0.0.1", *ports)
        with (
            BlobServiceClient.from_connection_string(connection) as blobs,
            QueueServiceClient.from_connection_string(connection) as queues,
        ):
            use(blobs, queues)

    def put(self, key: str, content: bytes) -> str:
        """Put an object into the bucket; its URL."""
        self.aws("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def post(self, kind: str, number: object, **data: Any) -> Answer:
        """Post a signed CloudEvent to the webhook."""
        event = {
            "specversion": "1.0",
            "id": str(number),
            "source": "/tests",
            "type": kind,
            "data": data,
        }
        body = json.dumps(event).encode()
        return http(
            "POST",
            f"http://127.0.0.1:{self.ports['WEBHOOK']}/events",
            body,
            content_type="application/cloudevents+json",
            x_signature=hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest(),
        )
