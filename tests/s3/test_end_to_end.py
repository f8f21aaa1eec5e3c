"""A real runner with an S3 listener: real servers on both sides."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.s3.support import Gate, Server, Sqs, eventually, notification, reason_of
from tests.support import ROOT, RunnerProcess, TemporalServer, free_port, http

StartRunner = Callable[..., RunnerProcess]

CONFIG = """\
import_paths: [{root}]
temporal: {{address: {temporal}}}
retry: {{base_delay: 50ms, max_delay: 500ms}}
workers:
  objects:
    task_queue: {name}
    workflows: [tests.s3.flows:ReadObject]
    activities: [tests.s3.flows:read_object]
listeners:
  {name}:
    source: s3
    options: {options}
    routes:
      - when: event.type.startsWith("ObjectCreated") && event.data.object.key.endsWith(".txt")
        start: ReadObject
        args: ["${{{{ event.data }}}}"]
    unmatched: {unmatched}
admin: {{port: {port}}}
"""


class Uploads:
    """A running runner with one S3 listener."""

    def __init__(
        self,
        start_runner: StartRunner,
        write_config: WriteConfig,
        temporal: TemporalServer,
        s3: Server,
        options: str,
        unmatched: str = "ignore",
        name: str = "",
    ) -> None:
        self.name = name or f"uploads-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        text = CONFIG.format(
            root=ROOT,
            temporal=temporal.address,
            name=self.name,
            options=options,
            unmatched=unmatched,
            port=self.port,
        )
        # The test's own modules are found from the checkout, where the runner is started.
        config = write_config(text.replace("import_paths: [{root}]\n", ""))
        self.process = start_runner("start", config, env={"S3_URL": s3.url})
        self.process.wait_for("ready after")

    def ready(self) -> int:
        return http("GET", f"http://127.0.0.1:{self.port}/readyz").status

    def counts(self) -> dict[str, int]:
        """What the listener says of its deliveries."""
        status = http("GET", f"http://127.0.0.1:{self.port}/status").json()
        (listener,) = [one for one in status["components"] if one["kind"] == "listener"]
        return {"received": 0, "accepted": 0, "duplicate": 0, **listener["counts"]}

    def settled(self) -> int:
        """How many it has done with."""
        return self.counts()["accepted"] + self.counts()["duplicate"]

    async def workflow_of(self, client: Client, key: str) -> str:
        """The ID of the one workflow that an object started."""
        found: list[str] = []

        async def started() -> bool:
            query = f"WorkflowType = 'ReadObject' AND TaskQueue = '{self.name}'"
            found[:] = [one.id async for one in client.list_workflows(query) if key in one.id]
            return len(found) == 1

        await eventually(started, within=20, what=f"one workflow of {key}:\n{self.process.output}")
        return found[0]


async def test_object_put_into_a_bucket_starts_the_workflow_that_reads_it(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    client: Client,
    moto: Server,
    bucket: str,
    queue: Sqs,
) -> None:
    """From put_object to the workflow's result, by S3's own notification; the queue is empty."""
    moto.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    options = f"{{queue_url: '{queue.url}', endpoint_url: '{moto.url}', wait_time: 1s}}"
    uploads = Uploads(start_runner, write_config, temporal_server, moto, options)
    moto.client("s3").put_object(Bucket=bucket, Key="in/hello world+ü.txt", Body=b"hello")
    workflow_id = await uploads.workflow_of(client, "in/hello world+ü.txt")
    assert await client.get_workflow_handle(workflow_id).result() == "hello"
    await eventually(lambda: queue.empty, what="the queue to be empty")
    assert uploads.process.stop() == 0, uploads.process.output


async def test_object_found_by_listing_starts_the_workflow_that_reads_it(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    client: Client,
    seaweed: Server,
    real_bucket: str,
    tmp_path: Path,
) -> None:
    """From put_object on a real S3 server to the workflow's result, without notifications."""
    state = tmp_path / "state.db"
    options = (
        f"{{mode: list, bucket: {real_bucket}, prefix: in/, endpoint_url: '{seaweed.url}',"
        f" poll_interval: 200ms, state_file: '{state}'}}"
    )
    uploads = Uploads(start_runner, write_config, temporal_server, seaweed, options)
    seaweed.client("s3").put_object(Bucket=real_bucket, Key="in/hello world+ü.txt", Body=b"hello")
    workflow_id = await uploads.workflow_of(client, "in/hello world+ü.txt")
    assert await client.get_workflow_handle(workflow_id).result() == "hello"
    assert uploads.process.stop() == 0, uploads.process.output


async def test_several_runners_that_list_do_not_double_start(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    client: Client,
    seaweed: Server,
    real_bucket: str,
) -> None:
    """Two runners list the same prefix, each with a memory of its own: one workflow an object."""
    where = f"bucket: {real_bucket}, endpoint_url: '{seaweed.url}'"
    options = f"{{mode: list, {where}, poll_interval: 200ms}}"
    one = Uploads(start_runner, write_config, temporal_server, seaweed, options)
    two = Uploads(start_runner, write_config, temporal_server, seaweed, options, name=one.name)
    for number in range(10):
        key = f"{number}.txt"
        seaweed.client("s3").put_object(Bucket=real_bucket, Key=key, Body=key.encode())
    await eventually(
        lambda: one.settled() == two.settled() == 10, within=20, what="both to have found all"
    )
    found = [item async for item in client.list_workflows(f"TaskQueue = '{one.name}'")]
    assert len(found) == 10
    assert one.counts()["accepted"] + two.counts()["accepted"] == 10
    for uploads in (one, two):
        assert uploads.process.stop() == 0, uploads.process.output


async def test_event_that_no_route_can_take_is_a_dead_letter(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    moto: Server,
    queue: Sqs,
    dead_letters: Sqs,
) -> None:
    """With `unmatched: reject` what the filters do not want, by its decoded key, is kept."""
    options = (
        f"{{queue_url: '{queue.url}', endpoint_url: '{moto.url}', wait_time: 1s,"
        f" dead_letter_queue_url: '{dead_letters.url}'}}"
    )
    Uploads(start_runner, write_config, temporal_server, moto, options, unmatched="reject")
    queue.send(notification("b", "photo+1.jpg", "1"))
    await eventually(lambda: dead_letters.counts() == (1, 0), what="the dead letter")
    (letter,) = dead_letters.drain()
    assert reason_of(letter) == "no route wants this event"
    await eventually(lambda: queue.empty, what="the queue to be empty")


async def test_temporal_down_holds_messages_without_losing_or_repeating_them(
    start_runner: StartRunner,
    write_config: WriteConfig,
    own_temporal_server: TemporalServer,
    moto: Server,
    queue: Sqs,
) -> None:
    """Temporal away for three visibility time-outs: what was received is held, then done once."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    options = (
        f"{{queue_url: '{queue.url}', endpoint_url: '{moto.url}', wait_time: 1s,"
        " visibility_timeout: 1s}"
    )
    uploads = Uploads(start_runner, write_config, own_temporal_server, moto, options)
    # Once the outage is seen nothing is received: it is a frozen server that takes it for longest.
    own_temporal_server.freeze()
    body = notification("b", "k.txt", "1")
    queue.send(body)
    await eventually(lambda: queue.counts() == (0, 1), what="the message to be received")
    own_temporal_server.kill()
    held = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - held < 3.2:
        assert queue.counts() == (0, 1)
        await asyncio.sleep(0.1)
    own_temporal_server.start()
    await eventually(lambda: queue.empty, within=20, what="the queue to be empty")
    assert uploads.counts()["received"] == 1
    assert uploads.counts()["accepted"] == 1
    assert uploads.process.stop() == 0, uploads.process.output


async def test_expired_credentials_and_throttling_are_waited_out(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    client: Client,
    moto: Server,
    queue: Sqs,
) -> None:
    """While SQS refuses everything the runner is not ready, and lives; then the event comes."""
    with Gate(moto) as gate:
        options = f"{{queue_url: '{queue.url}', endpoint_url: '{gate.url}', wait_time: 1s}}"
        uploads = Uploads(start_runner, write_config, temporal_server, moto, options)
        for refusal in ("ExpiredToken", "ThrottlingException"):
            gate.refusal = refusal
            await eventually(lambda: uploads.ready() == 503, within=20, what="not to be ready")
            assert refusal in uploads.process.output
            assert uploads.process.running
            gate.refusal = ""
            await eventually(lambda: uploads.ready() == 200, within=20, what="to be ready again")
        queue.send(notification("b", "k.txt", "1"))
        await uploads.workflow_of(client, "k.txt")
        assert uploads.process.stop() == 0, uploads.process.output
