"""Both modes keep the promises of every event source: the project's own conformance kit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from temporal_runner.plugin import PullSource, SourceContext
from temporal_runner.testing import EventSourceConformance
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.queue import make_source
from tests.azure.support import Storage
from tests.support import free_port


def nowhere(storage: Storage) -> str:
    """A connection string of a service that is not there."""
    here = storage.connection_string
    for port in (storage.azurite.blob_port, storage.azurite.queue_port):
        here = here.replace(f":{port}/", f":{free_port()}/")
    return here


class TestQueueMode(EventSourceConformance):
    """Event Grid's messages in a Storage Queue."""

    keeps_rejected = True

    @pytest.fixture(autouse=True)
    def _service(self, storage: Storage) -> None:
        self.storage = storage
        self.secrets = (storage.azurite.key,)

    def options(self, **more: object) -> AzureOptions:
        return self.storage.queue_options(visibility_timeout="1s", **more)

    def make_source(self, context: SourceContext) -> PullSource:
        return make_source(self.options(), context)

    def make_unreachable_source(self, context: SourceContext) -> PullSource:
        return make_source(self.options(connection_string=nowhere(self.storage)), context)

    async def put(self, name: str) -> None:
        self.storage.send(self.storage.put(name))

    async def put_malformed(self) -> None:
        self.storage.send_text("this is no event")

    async def dead_letters(self) -> Mapping[str, str]:
        return {
            letter["body"]["data"]["url"].rpartition("/")[2]: json.dumps(letter)
            for letter in self.storage.poisoned()
        }


class TestListMode(EventSourceConformance):
    """A container that is listed."""

    keeps_rejected = True

    @pytest.fixture(autouse=True)
    def _service(self, storage: Storage, tmp_path: Path) -> None:
        self.storage = storage
        self.state = tmp_path / "uploads.db"
        self.secrets = (storage.azurite.key,)

    def options(self, **more: object) -> AzureOptions:
        poison = f"{self.storage.queue_name}-poison"
        return self.storage.list_options(
            state_file=str(self.state), dead_letter_queue=poison, **more
        )

    def make_source(self, context: SourceContext) -> PullSource:
        return make_source(self.options(), context)

    def make_unreachable_source(self, context: SourceContext) -> PullSource:
        return make_source(self.options(connection_string=nowhere(self.storage)), context)

    async def put(self, name: str) -> None:
        self.storage.put(name)

    async def dead_letters(self) -> Mapping[str, str]:
        return {letter["body"]["subject"]: json.dumps(letter) for letter in self.storage.poisoned()}
