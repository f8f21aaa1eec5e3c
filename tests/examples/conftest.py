"""Fixtures: the examples' workers on a real server, their stores, an index of the test's own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from tests.azure.conftest import azurite, storage  # noqa: F401
from tests.s3.conftest import _credentials, bucket, make_queue, moto, queue  # noqa: F401
from tests.s3.support import Server
from tests.support import ROOT

sys.path.insert(0, str(ROOT / "examples"))

from tests.examples import workers

DOCUMENTS = ROOT / "tests" / "data" / "documents"


@pytest.fixture
def s3(moto: Server, monkeypatch: pytest.MonkeyPatch) -> Server:  # noqa: F811
    """The S3 server, which the activities of this process know too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    return moto


@pytest.fixture
def index_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index of this test, which the activities of this process know."""
    file = tmp_path / "index" / "documents.db"
    monkeypatch.setenv("DOCUMENTS_INDEX", str(file))
    return file


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Where activities run that are plain functions."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
async def documents_worker(
    client: Client, index_file: Path, threads: ThreadPoolExecutor
) -> AsyncIterator[Worker]:
    """The worker of document-processing."""
    async with workers.documents_worker(client, threads) as worker:
        yield worker


@pytest.fixture
async def chat_worker(client: Client) -> AsyncIterator[Worker]:
    """The worker of chat-session."""
    async with workers.chat_worker(client) as worker:
        yield worker


@pytest.fixture
async def orchestrator_worker(client: Client) -> AsyncIterator[Worker]:
    """The worker of root-orchestrator."""
    async with workers.orchestrator_worker(client) as worker:
        yield worker
