"""The system in containers: a Temporal that is late or killed, a document's way, a stop at work."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.azure.support import event_grid, in_base64
from tests.containers import engine
from tests.containers.conftest import MakeStack
from tests.containers.stack import (
    ACCOUNT,
    BUCKET,
    NEED_TEMPORAL,
    QUEUE,
    RUNNERS,
    WEBHOOK,
    Stack,
)
from tests.support import ROOT, eventually, http, wait_until

DOCUMENTS = ROOT / "tests" / "data" / "documents"
SOON = 10.0
"""Seconds within which all are healthy, once Temporal serves."""
Figure = Callable[[str, object], None]


def attempts(log: str) -> int:
    """How many attempts to reach Temporal a container has logged."""
    return sum("attempt" in line and "failed, transient" in line for line in log.splitlines())


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("compose", "held_back"),
    [(engine.compose_1, 30.0), (engine.compose_2, 10.0)],
    ids=["docker-compose-1.29", "compose-v2"],
)
async def test_a_temporal_that_is_held_back_is_waited_for(
    make_stack: MakeStack, compose: Callable[[], list[str]], held_back: float, figure: Figure
) -> None:
    """All containers are there before Temporal's: none exits, each logs its attempts.

    The webhook's listener takes an event meanwhile, whose message is answered later.
    """
    stack = make_stack(compose())
    began = time.monotonic()
    stack.up(*RUNNERS, dependencies=False)
    lives = stack.lives()
    wait_until(lambda: all(attempts(stack.log(service)) for service in RUNNERS), what="attempts")
    stack.wait_health("healthy", [WEBHOOK])
    answer = stack.post("chat.message", 1, session="early", text="Is anybody there?")
    assert answer.status == 202, answer
    wait_until(lambda: time.monotonic() - began >= held_back, within=held_back)
    figure("attempts logged", {service: attempts(stack.log(service)) for service in RUNNERS})
    assert not {"healthy"} & {stack.health()[service] for service in NEED_TEMPORAL}

    stack.up("temporal")
    served = stack.wait_serving()
    healthy = stack.wait_health("healthy")
    took = {service: round(at - served, 1) for service, at in healthy.items()}
    figure("healthy after Temporal serves, s", took)
    figure("restarts", stack.restarts())
    assert max(took.values()) <= SOON
    assert set(stack.restarts().values()) == {0}
    assert stack.lives() == lives, "a process is another, or was started anew"

    async def answered() -> bool:
        return (await stack.report()).get("Is anybody there?", {}).get("status") == "completed"

    await eventually(answered, what="the event of before Temporal to be handled")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("outage", ["killed", "cut off"])
async def test_a_temporal_that_is_gone_is_waited_for(
    stack: Stack, outage: str, figure: Figure
) -> None:
    """All that need it go unhealthy and come back, by themselves; the inbox takes events on.

    A server that is killed closes its connections. One whose network is cut says nothing.
    """
    lives, question = stack.lives(), f"Where are you, {outage}?"
    with stack.without_temporal(cut=outage == "cut off"):
        gone = time.monotonic()
        unhealthy = stack.wait_health("unhealthy", NEED_TEMPORAL)
        figure("unhealthy after, s", round(max(unhealthy.values()) - gone, 1))
        assert stack.health()[WEBHOOK] == "healthy"
        answer = stack.post("chat.message", outage, session="away", text=question)
        assert answer.status == 202, answer

    served = stack.wait_serving()
    healthy = stack.wait_health("healthy")
    took = {service: round(at - served, 1) for service, at in healthy.items()}
    figure("healthy after Temporal serves again, s", took)
    figure("restarts", stack.restarts())
    assert max(took.values()) <= SOON
    assert set(stack.restarts().values()) == {0}
    assert stack.lives() == lives, "a process is another, or was started anew"

    async def answered() -> bool:
        return (await stack.report()).get(question, {}).get("status") == "completed"

    await eventually(answered, what="the event that came while Temporal was away")


@pytest.mark.timeout(180)
async def test_a_document_is_processed_and_asked_about(stack: Stack, figure: Figure) -> None:
    """A PDF in the bucket, a question by webhook, and the orchestrator knows of both."""
    put = time.monotonic()
    url = stack.put("lighthouse.pdf", (DOCUMENTS / "lighthouse.pdf").read_bytes())

    async def outcome(subject: str) -> dict[str, Any]:
        found = (await stack.report()).get(subject, {})
        return found if found.get("status") in ("completed", "failed") else {}

    document = await eventually(lambda: outcome(url), what="the document")
    figure("from put to processed, s", round(time.monotonic() - put, 1))
    assert document["status"] == "completed", document
    summary = json.loads(
        stack.aws("s3").get_object(Bucket=BUCKET, Key="lighthouse.pdf.summary.json")["Body"].read()
    )
    assert (summary["document"], summary["pages"], summary["language"]) == (url, 1, "en")

    question = "How many steps does the tower have?"
    assert stack.post("chat.message", "question", session="visit", text=question).status == 202
    reply = (await eventually(lambda: outcome(question), what="the answer"))["result"]
    assert "186 steps" in reply["text"]
    assert reply["documents"][0] == url

    report = await stack.report()
    assert {url, question} <= set(report)
    assert report[url]["workflow_id"].startswith("document-lighthouse.pdf-")
    assert report[question]["workflow_id"] == "chat-visit"


@pytest.mark.timeout(180)
async def test_a_blob_is_processed(stack: Stack) -> None:
    """A document in Azure's container, told by a message such as Event Grid's."""
    url = f"http://azurite:10000/{ACCOUNT}/{BUCKET}/ferry.md"

    def upload(blobs: Any, queues: Any) -> None:
        with blobs.get_blob_client(BUCKET, "ferry.md") as blob:
            etag = blob.upload_blob((DOCUMENTS / "ferry.md").read_bytes(), overwrite=True)["etag"]
        with queues.get_queue_client(QUEUE) as queue:
            queue.send_message(in_base64(event_grid(url, etag)))

    stack.azure(upload)

    async def processed() -> dict[str, Any] | None:
        for outcome in (await stack.report()).values():
            if "ferry.md" in (outcome["workflow_id"] or "") and outcome["status"] != "running":
                return outcome
        return None

    outcome = await eventually(processed, what="the blob")
    assert outcome
    assert outcome["status"] == "completed", outcome


@pytest.mark.timeout(240)
async def test_a_stop_during_work_loses_nothing(stack: Stack, figure: Figure) -> None:
    """Each container exits 0 within its grace; what was begun is done, once, after the start."""
    page = (DOCUMENTS / "bees.docx").read_bytes()
    documents = {stack.put(f"stop/{number}.docx", page) for number in range(40)}
    questions = {f"What of bee {number}?" for number in range(20)}
    for number, question in enumerate(questions):
        answer = stack.post(
            "chat.message", f"stop-{number}", session=f"s{number % 4}", text=question
        )
        assert answer.status == 202, answer

    async def states() -> Counter[str]:
        report = await stack.report()
        found = [report[one]["status"] for one in documents | questions if one in report]
        return Counter(found)

    async def at_work() -> bool:
        now = await states()
        return now["completed"] >= 5 and now["completed"] < 40

    await eventually(at_work, what="the work to be under way")
    stopped = time.time()
    # The emulators hold their data in memory, so they stay: this is the file's own services.
    stack.compose("stop", emulators=False)
    containers = {name: stack.containers()[name] for name in (*RUNNERS, "temporal")}
    took = {}
    for name, container in containers.items():
        # The engine writes nanoseconds, less the zeros at their end.
        finished = container["State"]["FinishedAt"].removesuffix("Z")
        ended = datetime.fromisoformat(finished[:26].ljust(26, "0") + "+00:00")
        took[name] = round(ended.timestamp() - stopped, 1)
    figure("ended after the stop, s", took)
    figure("exit codes", {name: one["State"]["ExitCode"] for name, one in containers.items()})
    for name, container in containers.items():
        assert container["State"]["ExitCode"] == 0, f"{name}\n{stack.log(name)[-3000:]}"
        # Temporal is told to stop when those that depend on it have ended.
        begun = max(took[one] for one in RUNNERS) if name == "temporal" else 0.0
        assert took[name] - begun < container["Config"]["StopTimeout"]
    assert max(took[name] for name in RUNNERS) < 25, "an activity was waited for to no end"
    assert http("GET", f"http://127.0.0.1:{stack.ports['WEBHOOK']}/events").status == 0

    stack.compose("start", emulators=False)
    stack.wait_health("healthy")
    figure("at the restart", dict(await states()))

    async def all_done() -> bool:
        return (await states())["completed"] == len(documents | questions)

    await eventually(all_done, within=90, what="all that was begun")
    client = await stack.client()
    query = 'WorkflowType="ProcessDocument"'
    ids = [one.id async for one in client.list_workflows(query) if "docx" in one.id]
    figure("workflows of 40 documents", len(ids))
    assert len(ids) == len(set(ids)) == 40
