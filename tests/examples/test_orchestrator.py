"""RootOrchestrator on a real server: each event its child, once, whatever run is on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from chat_session.workflows import ChatSession
from root_orchestrator import workflows
from root_orchestrator.tasks import Carried, Outcome, Report
from root_orchestrator.workflows import RootOrchestrator
from tests.examples.conftest import DOCUMENTS
from tests.examples.workers import chat_worker, documents_worker, orchestrator_worker
from tests.s3.support import Server
from tests.support import TemporalServer, eventually

Handle = WorkflowHandle[Any, Any]


async def start(client: Client, carried: Carried | None = None) -> Handle:
    """An orchestrator of this test's own."""
    return await client.start_workflow(
        RootOrchestrator.run,
        carried,
        id=f"root-orchestrator-{uuid.uuid4()}",
        task_queue="root-orchestrator",
    )


def event(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    """An event as a route hands it over."""
    given = {"id": uuid.uuid4().hex, "source": "/tests", "type": kind, "data": data}
    return {"specversion": "1.0", **given, **more}


def uploaded(bucket: str, name: str) -> dict[str, Any]:
    """S3's event of an object."""
    data = {"bucket": {"name": bucket}, "object": {"key": name}}
    return event("ObjectCreated:Put", data, source=f"s3://{bucket}", subject=name)


async def outcomes(handle: Handle, count: int, *, done: bool = True) -> list[Outcome]:
    """What the report has, once that is so much."""

    async def enough() -> list[Outcome]:
        report: Report = await handle.query(RootOrchestrator.report)
        ready = [one for one in report.outcomes if not done or one.status != "running"]
        return ready if len(ready) >= count else []

    return await eventually(enough, what=f"{count} outcomes")


@pytest.fixture
def put(s3: Server, bucket: str) -> Any:
    """Put a real document into the bucket; returns its event."""

    def put(name: str) -> dict[str, Any]:
        body = (DOCUMENTS / name).read_bytes()
        s3.client("s3").put_object(Bucket=bucket, Key=name, Body=body)
        return uploaded(bucket, name)

    return put


@pytest.mark.usefixtures("documents_worker", "chat_worker", "orchestrator_worker")
async def test_a_document_and_a_question_about_it(client: Client, put: Any, bucket: str) -> None:
    """The report names both: what became of the document, and the answer with its document."""
    handle = await start(client)
    await handle.signal(RootOrchestrator.take, put("lighthouse.pdf"))
    (document,) = await outcomes(handle, 1)
    assert (document.status, document.reason) == ("completed", None)
    assert document.subject == f"s3://{bucket}/lighthouse.pdf"
    assert document.result is not None
    assert document.result["pages"] == 1
    session = f"ada-{bucket}"
    text = "How many steps does the tower have?"
    await handle.signal(
        RootOrchestrator.take, event("chat.message", {"session": session, "text": text})
    )
    _, answer = await outcomes(handle, 2)
    assert (answer.status, answer.subject) == ("completed", text)
    assert answer.workflow_id == f"chat-{session}"
    assert answer.result is not None
    assert answer.result["documents"] == [f"s3://{bucket}/lighthouse.pdf"]
    assert "186 steps" in answer.result["text"]
    chat = client.get_workflow_handle_for(ChatSession.run, f"chat-{session}")
    assert [turn.message for turn in await chat.query(ChatSession.history)] == [text]


@pytest.mark.usefixtures("documents_worker", "orchestrator_worker")
async def test_what_comes_to_nothing_is_reported(client: Client, put: Any, bucket: str) -> None:
    """A document that cannot be read, an object that is gone, types and data of nobody's."""
    handle = await start(client)
    for one in (
        put("encrypted.pdf"),
        uploaded(bucket, "gone.pdf"),
        event("order.paid", {}),
        event("chat.message", {"text": "hello"}),
        {},
    ):
        await handle.signal(RootOrchestrator.take, one)
    found = await outcomes(handle, 5)
    assert [one.status for one in found] == ["failed", "failed", "ignored", "ignored", "ignored"]
    reasons = [one.reason or "" for one in found]
    for part, reason in zip(
        ("needs a password", "not there", "'order.paid'", "data.session", "type ''"),
        reasons,
        strict=True,
    ):
        assert part in reason


@pytest.mark.usefixtures("chat_worker", "documents_worker", "orchestrator_worker")
async def test_a_session_by_events(client: Client, index_file: Path) -> None:
    """Started once, asked in order, ended; a session that does not run cannot be ended."""
    handle = await start(client)
    name = uuid.uuid4().hex
    for kind, data in [
        ("chat.start", {"session": name}),
        ("chat.start", {"session": name}),
        *(("chat.message", {"session": name, "text": f"question {n}"}) for n in range(8)),
        ("chat.end", {"session": name}),
        ("chat.end", {"session": f"nobody-{name}"}),
    ]:
        await handle.signal(RootOrchestrator.take, event(kind, data))
    found = await outcomes(handle, 12)
    assert [one.status for one in found] == ["completed"] * 11 + ["failed"]
    session = client.get_workflow_handle_for(ChatSession.run, f"chat-{name}")
    closing = await session.result()
    assert (closing.reason, closing.turns) == ("ended", 8)
    asked = [turn.message for turn in await session.query(ChatSession.history)]
    assert asked == [f"question {n}" for n in range(8)]


@pytest.mark.usefixtures("documents_worker", "orchestrator_worker")
async def test_an_event_that_comes_again_does_nothing(client: Client, put: Any) -> None:
    """In one run by what is remembered; in another orchestrator's by the child's ID."""
    uploaded = put("ferry.md")
    handle = await start(client)
    await handle.signal(RootOrchestrator.take, uploaded)
    await handle.signal(RootOrchestrator.take, uploaded)
    await handle.signal(RootOrchestrator.take, event("order.paid", {}))
    first, _ = await outcomes(handle, 2)
    other = await start(client)
    await other.signal(RootOrchestrator.take, uploaded)
    (again,) = await outcomes(other, 1)
    assert again == first
    found = [one async for one in client.list_workflows(f"WorkflowId = '{first.workflow_id}'")]
    assert len(found) == 1


@pytest.mark.usefixtures("orchestrator_worker")
async def test_the_oldest_are_forgotten(client: Client) -> None:
    """The report has the newest hundred, and says how many there were before."""
    handle = await start(client)
    for number in range(130):
        await handle.signal(RootOrchestrator.take, event("order.paid", {}, id=str(number)))

    async def forgotten() -> bool:
        report: Report = await handle.query(RootOrchestrator.report)
        assert len(report.outcomes) <= 100
        return report.forgotten == 30 and report.outcomes[0].key == "/tests 30"

    await eventually(forgotten)


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[TemporalServer]:
    """A server that suggests to continue as new after few events."""
    suggest = "limit.historyCount.suggestContinueAsNew=60"
    with TemporalServer(more=["--dynamic-config-value", suggest]) as server:
        server.wait_serving()
        yield server


async def test_the_next_run_takes_over_what_is_under_way(
    hasty_server: TemporalServer,
    put: Any,
    index_file: Path,
    bucket: str,
    threads: ThreadPoolExecutor,
) -> None:
    """Events that no child has finished when run follows run: each is done once, in its order."""
    client = await Client.connect(hasty_server.address, data_converter=pydantic_data_converter)
    events = [put(name) for name in ("lighthouse.pdf", "tides.pdf", "bees.docx")]
    questions = [f"question {number}" for number in range(5)]
    events += [event("chat.message", {"session": bucket, "text": text}) for text in questions]
    async with orchestrator_worker(client):
        handle = await start(client)
        for one in events:
            await handle.signal(RootOrchestrator.take, one)
        # Nobody works on the children yet.
        for _ in range(60):
            await handle.signal(RootOrchestrator.take, event("order.paid", {}))
        first_run = handle.first_execution_run_id
        handle = client.get_workflow_handle(handle.id)

        async def next_run() -> bool:
            return (await handle.describe()).run_id != first_run

        await eventually(next_run, what="the next run")
        waiting = [one for one in await outcomes(handle, 8, done=False) if one.workflow_id]
        assert [one.status for one in waiting] == ["running"] * 8
        async with documents_worker(client, threads), chat_worker(client):

            async def all_done() -> list[Outcome]:
                ours = [one for one in await outcomes(handle, 8) if one.workflow_id]
                return ours if len(ours) == 8 else []

            done = await eventually(all_done, what="all to be done")
            assert [one.status for one in done] == ["completed"] * 8
            assert {one.result["pages"] for one in done[:3] if one.result} == {1, 2, None}
            session = client.get_workflow_handle_for(ChatSession.run, f"chat-{bucket}")
            turns = await session.query(ChatSession.history)
            assert [turn.message for turn in turns] == questions
    children = [one.id async for one in client.list_workflows("WorkflowType='ProcessDocument'")]
    assert len(children) == 3


@pytest.mark.usefixtures("orchestrator_worker")
async def test_more_than_it_does_at_a_time_wait(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more children are started than may be under way; the report has those that wait, too."""
    handle = await start(client)
    unique = uuid.uuid4().hex
    count = workflows._AT_A_TIME + 20
    for number in range(count):
        await handle.signal(RootOrchestrator.take, uploaded(unique, f"{unique}-{number}.pdf"))
    assert len(await outcomes(handle, count, done=False)) == count
    name = f"WorkflowId STARTS_WITH 'document-{unique}'"

    async def as_many_as_may_be() -> bool:
        return (await client.count_workflows(name)).count == workflows._AT_A_TIME

    await eventually(as_many_as_may_be)
    found = [one async for one in client.list_workflows(name)]
    await client.get_workflow_handle(found[0].id).terminate("a child ends")

    async def another() -> bool:
        return (await client.count_workflows(name)).count == workflows._AT_A_TIME + 1

    await eventually(another, what="the next to be started")
    (failed,) = await outcomes(handle, 1)
    assert failed.status == "failed"
    for one in found[1:]:
        await client.get_workflow_handle(one.id).terminate()
