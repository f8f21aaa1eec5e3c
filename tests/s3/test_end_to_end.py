"""A real runner with an S3 listener: real servers on both sides."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.s3.support import Server, Sqs, eventually
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
    ) -> None:
        self.name = f"uploads-{uuid.uuid4().hex[:8]}"
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
