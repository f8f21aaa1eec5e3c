"""The emulators of the cloud's queues, filled with messages that come into sight all at once."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3  # type: ignore[import-untyped]
from azure.storage.queue import QueueClient

from benchmarks.processes import BIN, EVERYWHERE, free_port, process, wait_for_port
from benchmarks.stub_queue import message_body

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
_SENDERS = 4
_AHEAD, _A_SECOND = 2.0, 250.0
"""Seconds until the messages come into sight, and one more for so many of them; to put them into
the queue takes less."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of an emulator.

    Attributes:
        options: A listener's options for it.
        arguments: What `baselines.drain` takes for it.
        send: Puts messages into it by their numbers, in sight after so many seconds.
        count: How many are in it, in sight or not.
    """

    options: dict[str, Any]
    arguments: Sequence[str]
    send: Callable[[Sequence[int], int], None]
    count: Callable[[], int]

    def fill(self, amount: int) -> None:
        """Put messages into it, and return when they come into sight."""
        sight = time.monotonic() + _AHEAD + amount / _A_SECOND

        def send(numbers: Sequence[int]) -> None:
            self.send(numbers, max(1, math.ceil(sight - time.monotonic())))

        tens = [range(first, first + 10) for first in range(0, amount, 10)]
        with ThreadPoolExecutor(_SENDERS) as threads:
            list(threads.map(send, tens))
        if time.monotonic() > sight:
            raise RuntimeError(f"{amount} messages could not be sent in time")
        time.sleep(sight - time.monotonic())


@contextlib.contextmanager
def moto(*, on: set[int] = EVERYWHERE) -> Iterator[Callable[[str], Queue]]:
    """AWS's SQS by moto; makes queues."""
    port = free_port()
    with process(BIN / "moto_server", "--port", port, on=on, quiet=True) as one:
        wait_for_port(port, one)
        endpoint = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="benchmark",
            aws_secret_access_key="benchmark",
        )

        def make(name: str) -> Queue:
            url = client.create_queue(QueueName=name)["QueueUrl"]

            def send(numbers: Sequence[int], delay: int) -> None:
                entries = [
                    {
                        "Id": str(number),
                        "MessageBody": message_body(f"{name}-{number}"),
                        "DelaySeconds": delay,
                    }
                    for number in numbers
                ]
                client.send_message_batch(QueueUrl=url, Entries=entries)

            def count() -> int:
                kinds = ("", "NotVisible", "Delayed")
                names = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
                answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)
                return sum(int(answer["Attributes"][one]) for one in names)

            options = {"queue_url": url, "endpoint_url": endpoint, "region": REGION}
            return Queue(options, ["sqs", url], send, count)

        yield make


@contextlib.contextmanager
def azurite(*, on: set[int] = EVERYWHERE) -> Iterator[Callable[[str], Queue]]:
    """Azure's Storage Queues by Azurite, which is what the tests have; makes queues."""
    from tests.azure.azurite import find, install_azurite

    key = base64.b64encode(bytes(64)).decode()
    ports = {service: free_port() for service in ("blob", "queue", "table")}
    command = [find("node"), install_azurite(), "--silent", "--inMemoryPersistence"]
    command += ["--disableTelemetry", "--skipApiVersionCheck"]
    command += [f"--{service}Port={port}" for service, port in ports.items()]
    with process(*command, on=on, env={"AZURITE_ACCOUNTS": f"benchmark:{key}"}) as one:
        wait_for_port(ports["queue"], one)
        account = (
            f"DefaultEndpointsProtocol=http;AccountName=benchmark;AccountKey={key};"
            f"QueueEndpoint=http://127.0.0.1:{ports['queue']}/benchmark;"
        )

        def make(name: str) -> Queue:
            client = QueueClient.from_connection_string(account, name)
            client.create_queue()

            def send(numbers: Sequence[int], delay: int) -> None:
                for number in numbers:
                    client.send_message(_blob_created(f"{number}.pdf"), visibility_timeout=delay)

            def count() -> int:
                return client.get_queue_properties().approximate_message_count or 0

            options = {"connection_string": account, "queue": name, "poll_max": "100ms"}
            return Queue(options, ["azure", account, name], send, count)

        yield make


def _blob_created(name: str) -> str:
    """What Event Grid writes into a queue."""
    event = {
        "topic": "/subscriptions/0/resourceGroups/bench/providers/Microsoft.Storage/x/benchmark",
        "subject": f"/blobServices/default/containers/uploads/blobs/in/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": f"00000000-0000-0000-0000-{name}",
        "data": {
            "api": "PutBlob",
            "requestId": "6d79dbfb-0e37-4fc4-981f-442c9ca65760",
            "eTag": f"0x8D4BCC2E4835CD0{name}",
            "contentType": "application/pdf",
            "contentLength": 524288,
            "blobType": "BlockBlob",
            "url": f"https://benchmark.blob.core.windows.net/uploads/in/{name}",
            "sequencer": "0000000000004420000000000028963",
        },
        "dataVersion": "",
        "metadataVersion": "1",
        "eventTime": "2026-01-02T03:04:05.6789012Z",
    }
    return base64.b64encode(json.dumps(event).encode()).decode()
