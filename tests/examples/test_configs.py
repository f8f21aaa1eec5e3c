"""dev, staging and prod: valid, alike where they should be, and each runs the whole system."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from root_orchestrator.tasks import Outcome, Report
from tests.azure.support import Storage
from tests.examples.conftest import DOCUMENTS
from tests.s3.conftest import MakeQueue
from tests.s3.support import CREDENTIALS, Server, Sqs
from tests.support import (
    ROOT,
    Answer,
    RunnerProcess,
    TemporalServer,
    eventually,
    free_port,
    http,
    run_runner,
    wait_until,
)

CONFIGS = ROOT / "configs"
SECRET = "not-told-anywhere"
WORKERS = ["document-processing", "chat-session", "root-orchestrator"]
LISTENERS = ["s3-events", "azure-blobs", "webhook"]
NEEDED = {
    "TEMPORAL_ADDRESS": "127.0.0.1:7233",
    "UPLOADS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads",
    "AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true",
    "AZURE_EVENTS_QUEUE": "uploads",
    "WEBHOOK_SECRET": SECRET,
}
StartRunner = Callable[..., RunnerProcess]
MakeSystem = Callable[..., "System"]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the configs' variables are set on this machine."""
    others = ("TEMPORAL_NAMESPACE", "AWS_ENDPOINT_URL", "CHAT_API_URL", "RUNNER_DATA", "LOG_LEVEL")
    for name in (*NEEDED, *others):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_each_config_is_valid(name: str) -> None:
    """With what it asks for; dev asks for nothing."""
    environment = {} if name == "dev" else NEEDED
    code, output = run_runner("validate", CONFIGS / f"{name}.yaml", env=environment)
    assert code == 0, output
    assert "warning" not in output
    assert "3 workers, 3 listeners" in output


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_what_is_missing_is_named_with_what_it_is(name: str) -> None:
    """All of it at once, and no secret in it."""
    code, output = run_runner("validate", CONFIGS / f"{name}.yaml")
    assert code == 2
    for variable in ("UPLOADS_QUEUE_URL", "AZURE_STORAGE_CONNECTION_STRING", "WEBHOOK_SECRET"):
        assert f"{variable} is not set: " in output


def test_each_has_delays_of_its_own() -> None:
    """Another strategy and another address in each; the same names, routes and queues."""
    texts = {name: (CONFIGS / f"{name}.yaml").read_text() for name in ("dev", "staging", "prod")}
    strategies = {text.split("strategy: ")[1].split()[0] for text in texts.values()}
    assert len(strategies) == 3
    for text in texts.values():
        assert "extends: base.yaml" in text
        assert "routes:" not in text
        assert "workers:" not in text


def test_the_page_has_each_variable() -> None:
    """docs/how-to/run-the-whole-system.md, of prod.yaml and of the examples' code."""
    page = (ROOT / "docs" / "how-to" / "run-the-whole-system.md").read_text()
    rows = re.findall(r"^\| (`[A-Z].*?) \|", page, re.MULTILINE)
    told = set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))
    asked = set(re.findall(r"\$\{([A-Z_]+)", (CONFIGS / "prod.yaml").read_text()))
    for file in (ROOT / "examples").glob("*_*/*.py"):
        read = re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', file.read_text())
        asked |= {name for name in read if not name.startswith("AWS_")}
    assert told == asked


class System:
    """A config as a process, its stores, and what one does with them."""

    def __init__(
        self,
        name: str,
        start_runner: StartRunner,
        folder: Path,
        s3: Server,
        bucket: str,
        queue: Sqs,
        storage: Storage,
        address: str,
        **environment: str,
    ) -> None:
        self.s3, self.bucket, self.queue, self.storage = s3, bucket, queue, storage
        self.hook, self.admin = free_port(), free_port()
        where = {"QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]}
        s3.client("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=where
        )
        self.environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": s3.url,
            "UPLOADS_QUEUE_URL": queue.url,
            "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
            "AZURE_EVENTS_QUEUE": storage.queue_name,
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_PORT": str(self.hook),
            "TEMPORAL_ADDRESS": address,
            "ADMIN_HOST": "127.0.0.1",
            "ADMIN_PORT": str(self.admin),
            "RUNNER_DATA": str(folder),
            "DOCUMENTS_INDEX": str(folder / "documents.db"),
            **environment,
        }
        config = CONFIGS / f"{name}.yaml"
        self.runner = start_runner("start", config, env=self.environment, cwd=folder)
        try:
            wait_until(self.ready, within=90, what="/readyz to answer 200")
        except AssertionError as error:
            raise AssertionError(self.runner.output) from error

    def ready(self) -> bool:
        return http("GET", f"http://127.0.0.1:{self.admin}/readyz").status == 200

    def put_into_s3(self, name: str) -> None:
        body = (DOCUMENTS / name).read_bytes()
        self.s3.client("s3").put_object(Bucket=self.bucket, Key=f"in/{name}", Body=body)

    def put_into_azure(self, name: str) -> None:
        self.storage.send(self.storage.put(f"in/{name}", (DOCUMENTS / name).read_bytes()))

    def post(self, event: dict[str, Any], secret: str = SECRET) -> Answer:
        body = json.dumps(event).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return http(
            "POST",
            f"http://127.0.0.1:{self.hook}/events",
            body,
            content_type="application/cloudevents+json",
            x_signature=signature,
        )

    def ask(self, session: str, text: str) -> Answer:
        given = {"id": uuid.uuid4().hex, "source": "/chat", "type": "chat.message"}
        return self.post(
            {"specversion": "1.0", **given, "data": {"session": session, "text": text}}
        )


async def outcomes(client: Client, count: int, system: System) -> list[Outcome]:
    """What the orchestrator reports, once so much is done of what came from this system."""
    handle = client.get_workflow_handle("root-orchestrator", result_type=type(None))
    ours = (system.bucket, system.storage.container_name, "/chat")

    async def done() -> list[Outcome]:
        try:
            report: Report = await handle.query("report", result_type=Report)
        except RPCError:
            return []  # not there yet
        found = [one for one in report.outcomes if one.status != "running"]
        found = [one for one in found if any(part in one.key for part in ours)]
        return found if len(found) >= count else []

    return await eventually(done, within=90, what=f"{count} outcomes:\n{system.runner.output}")


@pytest.fixture(scope="module")
def own_server() -> Iterator[TemporalServer]:
    """A server for these tests: the orchestrator's Workflow ID is the same in each config."""
    with TemporalServer() as server:
        server.wait_serving()
        yield server


@pytest.fixture
def make_system(
    start_runner: StartRunner,
    tmp_path: Path,
    moto: Server,
    bucket: str,
    queue: Sqs,
    storage: Storage,
) -> MakeSystem:
    """`make_system("prod", address, …)`: the config as a process, ready."""

    def make(name: str, address: str, **environment: str) -> System:
        return System(
            name, start_runner, tmp_path, moto, bucket, queue, storage, address, **environment
        )

    return make


@pytest.mark.timeout(240)
async def test_prod_runs_the_whole_system(
    make_system: MakeSystem, own_server: TemporalServer
) -> None:
    """Documents of both stores and a bad one; a question by webhook; the query names all."""
    system = make_system("prod", own_server.address, LOG_FORMAT="text")
    client = await Client.connect(own_server.address, data_converter=pydantic_data_converter)
    for name in ("lighthouse.pdf", "encrypted.pdf"):
        system.put_into_s3(name)
    system.put_into_azure("bees.docx")
    documents = {one.subject: one for one in await outcomes(client, 3, system)}
    light = documents[f"s3://{system.bucket}/in/lighthouse.pdf"]
    assert (light.status, light.result and light.result["pages"]) == ("completed", 1)
    assert documents[f"az://{system.storage.container_name}/in/bees.docx"].status == "completed"
    locked = documents[f"s3://{system.bucket}/in/encrypted.pdf"]
    assert (locked.status, locked.reason) == ("failed", "it is a PDF that needs a password")

    assert system.post({}, secret="wrong").status == 401
    assert system.ask("ada", "How many steps does the tower have?").status == 202
    (*_, answer) = await outcomes(client, 4, system)
    assert answer.result is not None
    assert "186 steps" in answer.result["text"]
    assert answer.result["documents"] == [f"s3://{system.bucket}/in/lighthouse.pdf"]

    # The summaries that stand beside the documents now are no documents.
    keys = [
        one["Key"]
        for one in system.s3.client("s3").list_objects_v2(Bucket=system.bucket)["Contents"]
    ]
    assert sorted(keys) == sorted(
        f"in/{name}{suffix}"
        for name in ("lighthouse.pdf", "encrypted.pdf")
        for suffix in ("", ".summary.json")
    )
    wait_until(lambda: system.queue.empty, what="the events of the summaries to be taken")
    assert len(await outcomes(client, 4, system)) == 4
    assert system.runner.stop(within=70) == 0, system.runner.output
    for secret in (SECRET, system.storage.azurite.key):
        assert secret not in system.runner.output


@pytest.mark.timeout(240)
async def test_staging_runs_the_whole_system(
    make_system: MakeSystem, own_server: TemporalServer
) -> None:
    """In its namespace, which is waited for."""
    plain = await Client.connect(own_server.address)
    request = RegisterNamespaceRequest(namespace="staging")
    request.workflow_execution_retention_period.FromSeconds(86400)
    await plain.workflow_service.register_namespace(request)
    system = make_system("staging", own_server.address)
    client = await Client.connect(
        own_server.address, namespace="staging", data_converter=pydantic_data_converter
    )
    system.put_into_s3("tides.pdf")
    await outcomes(client, 1, system)
    assert system.ask("ada", "How fast is the stream in the narrows?").status == 202
    (_, answer) = await outcomes(client, 2, system)
    assert answer.result is not None
    assert "seven knots" in answer.result["text"]
    assert system.runner.stop(within=70) == 0, system.runner.output


@pytest.mark.timeout(240)
async def test_dev_runs_the_whole_system(make_system: MakeSystem) -> None:
    """With a Temporal of its own."""
    address = f"127.0.0.1:{free_port()}"
    system = make_system("dev", address)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    system.put_into_azure("ferry.md")
    await outcomes(client, 1, system)
    assert system.ask("ada", "What does a ticket for a dog cost?").status == 202
    (_, answer) = await outcomes(client, 2, system)
    assert answer.result is not None
    assert "two crowns" in answer.result["text"]
    assert system.runner.stop(within=70) == 0, system.runner.output


OWN = {
    "document-processing": [],
    "chat-session": [],
    "root-orchestrator": [],
    "s3-events": ["UPLOADS_QUEUE_URL"],
    "azure-blobs": ["AZURE_STORAGE_CONNECTION_STRING", "AZURE_EVENTS_QUEUE"],
    "webhook": ["WEBHOOK_SECRET"],
}


@pytest.mark.parametrize("part", [*WORKERS, *LISTENERS])
def test_each_part_runs_alone_with_its_own_variables(
    part: str,
    start_runner: StartRunner,
    tmp_path: Path,
    moto: Server,
    make_queue: MakeQueue,
    storage: Storage,
    temporal_server: TemporalServer,
) -> None:
    """As in a container of its own, which has no other part's secrets."""
    admin = free_port()
    given = {
        "UPLOADS_QUEUE_URL": make_queue().url,
        "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string,
        "AZURE_EVENTS_QUEUE": storage.queue_name,
        "WEBHOOK_SECRET": SECRET,
    }
    environment = {
        "TEMPORAL_ADDRESS": temporal_server.address,
        "ADMIN_HOST": "127.0.0.1",
        "ADMIN_PORT": str(admin),
        "RUNNER_DATA": str(tmp_path),
        "WEBHOOK_PORT": str(free_port()),
        "AWS_ENDPOINT_URL": moto.url,
        **CREDENTIALS,
        **{name: given[name] for name in OWN[part]},
    }
    runner = start_runner("start", CONFIGS / "prod.yaml", "--only", part, env=environment)
    wait_until(
        lambda: http("GET", f"http://127.0.0.1:{admin}/readyz").status == 200 or not runner.running,
        within=60,
        what="/readyz to answer 200",
    )
    assert runner.running, runner.output
    assert runner.stop(within=60) == 0
