"""What the Azure tests share: one test's queue and container, and Event Grid's side of them."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueSasPermissions, QueueServiceClient, generate_queue_sas

from temporal_runner.plugin import Delivery, PullSource, SourceContext, TransientError
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.queue import make_source
from tests.azure.azurite import ACCOUNT, Azurite
from tests.support import ROOT

DATA = ROOT / "tests" / "data" / "azure"
TOPIC = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/tests"
    f"/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
)


def saved(name: str) -> Any:
    """A saved message's JSON."""
    return json.loads((DATA / f"{name}.json").read_text())


def in_base64(content: object) -> str:
    """As Event Grid writes a message."""
    return base64.b64encode(json.dumps(content).encode()).decode()


def event_grid(url: str, etag: str, size: int = 0, **data: Any) -> dict[str, Any]:
    """What Event Grid says of a blob that was created."""
    container, _, name = url.partition(f"/{ACCOUNT}/")[2].partition("/")
    event: dict[str, Any] = saved("blob_created_event_grid")
    event |= {
        "topic": TOPIC,
        "subject": f"/blobServices/default/containers/{container}/blobs/{unquote(name)}",
        "eventTime": datetime.now(UTC).isoformat(),
        "id": str(uuid.uuid4()),
    }
    event["data"] |= {"api": "PutBlob", "eTag": etag, "contentLength": size, "url": url, **data}
    return event


class Storage:
    """One test's queue, poison queue and container in the emulator."""

    def __init__(self, azurite: Azurite) -> None:
        unique = uuid.uuid4().hex[:12]
        self.azurite = azurite
        self.connection_string = azurite.connection_string()
        self.queue_name, self.container_name = f"events-{unique}", f"uploads-{unique}"
        queues = QueueServiceClient.from_connection_string(self.connection_string)
        self._queues = queues
        self.queue = queues.create_queue(self.queue_name)
        self._poison = queues.get_queue_client(f"{self.queue_name}-poison")
        self._blobs = BlobServiceClient.from_connection_string(self.connection_string)
        self.container = self._blobs.create_container(self.container_name)

    def close(self) -> None:
        self._queues.close()
        self.queue.close()
        self._poison.close()
        self._blobs.close()
        self.container.close()

    def put(self, name: str, content: bytes = b"content") -> dict[str, Any]:
        """Write a blob, and return the event that Event Grid would have of it."""
        with self.container.get_blob_client(name) as blob:
            written = blob.upload_blob(content, overwrite=True)
            return event_grid(blob.url, written["etag"], len(content))

    def send(self, *events: object) -> None:
        """Put a message into the queue as Event Grid does: one event, or an array of several."""
        self.send_text(in_base64(events[0] if len(events) == 1 else list(events)))

    def send_text(self, text: str) -> None:
        self.queue.send_message(text)

    def count(self) -> int:
        """How many messages the queue has, those that nobody sees now included."""
        return int(self.queue.get_queue_properties().approximate_message_count or 0)

    def visible(self) -> int:
        """How many of them can be received now (32 at most)."""
        return len(self.queue.peek_messages(32))

    def poisoned(self, *, never_expiring: bool = False) -> list[dict[str, Any]]:
        """The letters in the poison queue, taken out of it."""
        return [json.loads(text) for _, text in self.poisoned_texts(never_expiring=never_expiring)]

    def poisoned_texts(self, *, never_expiring: bool = False) -> list[tuple[str, str]]:
        """The same as IDs and texts."""
        if not any(queue.name == self._poison.queue_name for queue in self._queues.list_queues()):
            return []
        letters = []
        for message in self._poison.receive_messages(messages_per_page=32):
            if never_expiring:
                assert message.expires_on
                assert message.expires_on.year > 2100
            letters.append((message.id, message.content))
            self._poison.delete_message(message)
        return letters

    def sas_of_queue(self, *, seconds: float = 3600) -> str:
        """A connection string whose signature opens the queue and nothing else."""
        signature = generate_queue_sas(
            ACCOUNT,
            self.queue_name,
            self.azurite.key,
            permission=QueueSasPermissions(read=True, update=True, process=True),
            expiry=datetime.now(UTC) + timedelta(seconds=seconds),
        )
        return self.azurite.connection_string(f"SharedAccessSignature={signature}")

    def queue_options(self, **options: Any) -> AzureOptions:
        """A queue listener's options, with short times."""
        return AzureOptions.model_validate(
            {
                "mode": "queue",
                "connection_string": self.connection_string,
                "queue": self.queue_name,
                "poll_min": "20ms",
                "poll_max": "100ms",
                **options,
            }
        )

    def list_options(self, **options: Any) -> AzureOptions:
        """A list listener's options, with short times."""
        return AzureOptions.model_validate(
            {
                "mode": "list",
                "connection_string": self.connection_string,
                "container": self.container_name,
                "poll_interval": "50ms",
                **options,
            }
        )


def context(max_in_flight: int = 100) -> SourceContext:
    """What the runner would tell a source."""
    log = logging.LoggerAdapter(logging.getLogger("tests.azure"), {})
    return SourceContext("uploads", max_in_flight, log)


class Open:
    """A source as the runner opens it, for `async with`."""

    def __init__(self, options: AzureOptions, max_in_flight: int = 100) -> None:
        self.source = make_source(options, context(max_in_flight))

    async def __aenter__(self) -> PullSource:
        try:
            await self.source.connect()
        except BaseException:
            await self.source.close()
            raise
        return self.source

    async def __aexit__(self, *exc: object) -> None:
        await self.source.close()


async def receive(source: PullSource, count: int = 1) -> list[Delivery]:
    """Receive until there are so many deliveries."""
    deliveries: list[Delivery] = []
    while len(deliveries) < count:
        deliveries += await _readable(source)
    return deliveries


async def _readable(source: PullSource) -> list[Delivery]:
    """Receive once, and reject what is unreadable as a listener does."""
    deliveries = []
    for delivery in await source.receive():
        if delivery.unreadable:
            with contextlib.suppress(TransientError):
                await delivery.reject(delivery.unreadable)
        else:
            deliveries.append(delivery)
    return deliveries


async def receive_none(source: PullSource, polls: int = 3) -> None:
    """Poll several times, and see that nothing comes."""
    came: Sequence[Delivery] = []
    for _ in range(polls):
        came = await _readable(source)
        assert not came, [delivery.event.id for delivery in came]
