"""ProcessDocument on a real server: from S3, Azure and the web, twice, and what cannot be read."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from document_processing import fetch
from document_processing.documents import Passage, Summary
from document_processing.index import Index
from document_processing.workflows import ProcessDocument
from tests.azure.azurite import ACCOUNT
from tests.azure.support import Storage
from tests.examples.conftest import DOCUMENTS
from tests.s3.support import Server, eventually
from tests.support import TemporalServer

pytestmark = pytest.mark.usefixtures("documents_worker")


async def started(client: Client, source: Any) -> WorkflowHandle[Any, Summary]:
    return await client.start_workflow(
        ProcessDocument.run,
        source,
        id=f"document-{uuid.uuid4()}",
        task_queue="document-processing",
    )


async def processed(client: Client, source: Any) -> Summary:
    return await (await started(client, source)).result()


def put(s3: Server, bucket: str, name: str) -> str:
    """Put one of the real documents; returns its URL."""
    content = (DOCUMENTS / name).read_bytes()
    s3.client("s3").put_object(Bucket=bucket, Key=f"in/{name}", Body=content)
    return f"s3://{bucket}/in/{name}"


def written(s3: Server, bucket: str, name: str) -> dict[str, Any]:
    """The summary beside it."""
    answer = s3.client("s3").get_object(Bucket=bucket, Key=f"in/{name}.summary.json")
    content: dict[str, Any] = json.loads(answer["Body"].read())
    return content


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web site with the real documents; its URL."""

    class Pages(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(DOCUMENTS))

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_document_in_s3_can_be_searched(
    client: Client, s3: Server, bucket: str, index_file: Path
) -> None:
    """Its summary is the result, and stands beside it; its passages answer a question."""
    url = put(s3, bucket, "lighthouse.pdf")
    summary = await processed(
        client, {"bucket": {"name": bucket}, "object": {"key": "in/lighthouse.pdf"}}
    )
    assert summary.status == "processed"
    assert (summary.document, summary.name) == (url, "lighthouse.pdf")
    assert (summary.media_type, summary.pages) == ("application/pdf", 1)
    assert summary.size == (DOCUMENTS / "lighthouse.pdf").stat().st_size
    assert 150 < summary.words < 300
    assert summary.language == "en"
    assert summary.keywords
    assert summary.passages >= 1
    assert summary.written == f"{url}.summary.json"
    beside = written(s3, bucket, "lighthouse.pdf")
    assert beside["status"] == "processed"
    assert beside["words"] == summary.words
    assert Index(index_file).search(["herring"], 1)[0].document == url


async def test_the_same_again_changes_nothing(
    client: Client, s3: Server, bucket: str, index_file: Path
) -> None:
    """Two workflows for one document: the index has it once, the summary is the same."""
    url = put(s3, bucket, "tides.pdf")
    first, second = await asyncio.gather(processed(client, url), processed(client, url))
    assert first == second
    found = Index(index_file).search(["narrows"], 50)
    assert len({one.number for one in found}) == len(found) >= 1


async def test_a_blob_in_azure_can_be_searched(
    client: Client,
    storage: Storage,
    index_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the account of the connection string; the summary is a blob beside it."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", storage.connection_string)
    storage.put("in/a b+ü%.docx", (DOCUMENTS / "bees.docx").read_bytes())
    data = {"container": storage.container_name, "blob": "in/a b+ü%.docx"}
    summary = await processed(client, {"type": "Microsoft.Storage.BlobCreated", "data": data})
    assert (summary.status, summary.language) == ("processed", "en")
    with storage.container.get_blob_client("in/a b+ü%.docx.summary.json") as blob:
        assert json.loads(blob.download_blob().readall())["passages"] == summary.passages
    assert Index(index_file).search(["varroa"], 1)


async def test_a_web_page_can_be_searched(client: Client, site: str, index_file: Path) -> None:
    """Nothing is written beside it."""
    summary = await processed(client, f"{site}/tram-latin1.html?from=newsletter")
    assert (summary.status, summary.language, summary.written) == ("processed", "de", None)
    assert Index(index_file).search(["grünau"], 1)[0].name == "tram-latin1.html"
    gone = await processed(client, f"{site}/nobody.html")
    assert gone.failure is not None
    assert gone.failure.kind == "missing"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("encrypted.pdf", "encrypted"),
        ("encrypted.docx", "encrypted"),
        ("damaged.pdf", "damaged"),
        ("picture.png", "unsupported"),
        ("scan.pdf", "no_text"),
    ],
)
async def test_what_cannot_be_read_is_a_result(
    client: Client, s3: Server, bucket: str, name: str, kind: str
) -> None:
    """The workflow completes with the reason, after one attempt; it stands beside the file too."""
    handle = await started(client, put(s3, bucket, name))
    summary = await handle.result()
    assert summary.status == "failed"
    assert summary.failure is not None
    assert summary.failure.kind == kind
    beside = written(s3, bucket, name)
    assert (beside["status"], beside["failure"]["kind"]) == ("failed", kind)
    tried = [
        event.activity_task_started_event_attributes.attempt
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
    ]
    assert tried == [1, 1]  # to read, and to write the summary


async def test_what_is_not_there_or_has_no_name_is_a_result(
    client: Client, s3: Server, bucket: str
) -> None:
    """An object that was removed meanwhile, names that the store's library cannot say, no name."""
    for source, kind in [
        (f"s3://{bucket}/gone.pdf", "missing"),
        (f"s3://{bucket}/a//b.pdf", "unsupported"),
        (f"s3://{bucket}/in/../b.pdf", "unsupported"),
        ({"object": "a.pdf"}, "not_named"),
    ]:
        summary = await processed(client, source)
        assert summary.failure is not None
        assert summary.failure.kind == kind, source


async def test_what_is_too_large_is_not_fetched_to_its_end(
    client: Client, s3: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a server does not say how large it is."""
    monkeypatch.setattr(fetch, "LARGEST", 10_000)
    summary = await processed(client, put(s3, bucket, "lighthouse.pdf"))
    assert summary.failure is not None
    assert summary.failure.kind == "too_large"


async def test_a_store_that_may_only_be_read(
    client: Client, storage: Storage, index_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document can be searched all the same; no summary stands beside it."""
    signature = generate_container_sas(
        ACCOUNT,
        storage.container_name,
        storage.azurite.key,
        permission=ContainerSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    reader = storage.azurite.connection_string(f"SharedAccessSignature={signature}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", reader)
    storage.put("ferry.md", (DOCUMENTS / "ferry.md").read_bytes())
    summary = await processed(client, f"az://{storage.container_name}/ferry.md")
    assert (summary.status, summary.written) == ("processed", None)
    assert [blob.name for blob in storage.container.list_blobs()] == ["ferry.md"]
    assert Index(index_file).search(["karoline"], 1)


async def test_a_store_that_is_away_is_waited_for(
    client: Client, s3: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is tried again until the store answers; nothing is given up."""
    url = put(s3, bucket, "ferry.md")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        handle = await started(client, url)

        async def tried_again() -> bool:
            waiting = (await handle.describe()).raw_description.pending_activities
            return bool(waiting) and waiting[0].attempt >= 2

        await eventually(tried_again, within=60, what="a second attempt")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    assert (await handle.result()).status == "processed"


async def test_passages_are_searched_by_the_words_that_matter(
    client: Client, s3: Server, bucket: str, temporal_server: TemporalServer
) -> None:
    """The activity that a chat asks; a question of empty words finds nothing."""
    for name in ("lighthouse.pdf", "bees.docx", "taugenichts-latin1.txt"):
        await processed(client, put(s3, bucket, name))

    async def search(question: str) -> list[Passage]:
        handle = await client.start_activity(
            "search_passages",
            question,
            id=f"search-{uuid.uuid4()}",
            task_queue="document-processing",
            start_to_close_timeout=timedelta(seconds=30),
            result_type=list[Passage],
        )
        found: list[Passage] = await handle.result()
        return found

    (best, *_) = await search("How much honey does a colony need in winter?")
    assert (best.name, "twenty kilograms" in best.text) == ("bees.docx", True)
    (tower, *_) = await search("How many steps has the tower?")
    assert tower.name == "lighthouse.pdf"
    assert "186 steps, and they must not touch the lens" in tower.text  # across a line's end
    assert (await search("Wem gehört die Mühle?"))[0].name == "taugenichts-latin1.txt"
    assert await search("what is the and of?") == []
