"""ChatSession on a real server: answers, history, the ways it ends, the run that follows."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from chat_session import responder
from chat_session.conversation import Closing, Question, Reply, Session, Turn
from chat_session.workflows import ChatSession
from document_processing.documents import Passage
from document_processing.index import Index
from tests.examples.endpoint import ChatEndpoint
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("documents_worker", "chat_worker")

LIGHT = "s3://b/lighthouse.pdf"
PASSAGES = [
    "The light\n\nThe lens was ground in Birmingham. The lamp burns paraffin.",
    "The fog signal\n\nThe horn gives three blasts every ninety seconds. It is oiled on Saturdays.",
]


@pytest.fixture(autouse=True)
def indexed(index_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One document in the index, and no endpoint."""
    index = Index(index_file)
    index.keep_text(LIGHT, "lighthouse.pdf", "…")
    index.set_language(LIGHT, "en")
    index.replace(LIGHT, PASSAGES)
    for name in ("CHAT_API_URL", "CHAT_API_KEY", "CHAT_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatEndpoint]:
    """The endpoint that answers, by the environment."""
    with ChatEndpoint() as endpoint:
        monkeypatch.setenv("CHAT_API_URL", endpoint.url)
        monkeypatch.setenv("CHAT_API_KEY", "sk-hush")
        monkeypatch.setenv("CHAT_MODEL", "tiny")
        yield endpoint


Handle = WorkflowHandle[Any, Closing]


async def open_session(client: Client, session: Session | None = None) -> Handle:
    """Start a session of this test's own."""
    return await client.start_workflow(
        ChatSession.run, session, id=f"chat-{uuid.uuid4()}", task_queue="chat-session"
    )


async def ask(session: Handle, text: str, **how: Any) -> Reply:
    return await session.execute_update(ChatSession.send_message, text, **how)


async def test_an_answer_comes_from_the_documents(client: Client) -> None:
    """It quotes the sentence that answers, names its document, and hands over its passages."""
    session = await open_session(client)
    reply = await ask(session, "How many blasts does the horn give?")
    assert reply.text == 'lighthouse.pdf says: "The horn gives three blasts every ninety seconds."'
    assert reply.passages[0] == Passage(
        document=LIGHT, name="lighthouse.pdf", number=1, text=PASSAGES[1]
    )
    assert reply.model is None
    nothing = await ask(session, "Who won the bicycle race?")
    assert (nothing.text, nothing.passages) == (responder.NOTHING, [])
    history = await session.query(ChatSession.history)
    assert [turn.message[:3] for turn in history] == ["How", "Who"]
    assert history[0].reply == reply
    await session.signal(ChatSession.end)
    assert await session.result() == Closing(reason="ended", turns=2)


async def test_messages_that_are_refused(client: Client) -> None:
    """Nothing of them stands in the history, and the session goes on."""
    session = await open_session(client)
    for message in ("  ", "x" * 5000):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await ask(session, message)
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.type == "MessageRefused"
    assert await session.query(ChatSession.history) == []
    assert (await ask(session, "Where was the lens ground?")).text.endswith('Birmingham."')


async def test_a_session_where_nothing_is_said_ends(client: Client) -> None:
    """After its idle time, which each message makes begin anew."""
    session = await open_session(client, Session(idle_seconds=0.3))
    assert await session.result() == Closing(reason="idle", turns=0)
    session = await open_session(client, Session(idle_seconds=60))
    await ask(session, "the horn?")
    timers = [
        event.event_type
        async for event in session.fetch_history_events()
        if event.HasField("timer_started_event_attributes")
        or event.HasField("timer_canceled_event_attributes")
    ]
    assert timers[-2:] == [EventType.EVENT_TYPE_TIMER_CANCELED, EventType.EVENT_TYPE_TIMER_STARTED]


async def test_the_next_run_keeps_the_session(client: Client) -> None:
    """Its history, and which messages were answered: the same one again gets the same reply."""
    session = await open_session(client, Session(turns_a_run=2))
    first = await ask(session, "the horn?", id="one")
    await ask(session, "the lens?", id="two")

    async def continued() -> bool:
        latest = client.get_workflow_handle(session.id)
        return (await latest.describe()).run_id != session.first_execution_run_id

    await eventually(continued, what="the next run")
    session = client.get_workflow_handle_for(ChatSession.run, session.id)
    assert [turn.id for turn in await session.query(ChatSession.history)] == ["one", "two"]
    assert await ask(session, "the horn?", id="one") == first
    await ask(session, "the lamp?", id="three")
    assert [turn.id for turn in await session.query(ChatSession.history)] == ["one", "two", "three"]
    await session.signal(ChatSession.end)
    assert await session.result() == Closing(reason="ended", turns=3)


async def test_replies_under_way_are_finished_before_the_next_run(
    client: Client,
) -> None:
    """Five messages at once, two a run: each has its reply, in one history."""
    session = await open_session(client, Session(turns_a_run=2))
    replies = await asyncio.gather(
        *(ask(session, f"the horn? {number}", id=f"m{number}") for number in range(5))
    )
    assert all("horn" in reply.text for reply in replies)
    session = client.get_workflow_handle_for(ChatSession.run, session.id)
    history = await session.query(ChatSession.history)
    assert sorted(turn.id for turn in history) == [f"m{number}" for number in range(5)]


async def test_a_session_ends_after_the_reply(client: Client, endpoint: ChatEndpoint) -> None:
    """A message that was taken is answered; one that comes later is refused."""
    go_on = threading.Event()
    answer = endpoint._next

    def later() -> Any:
        go_on.wait(20)
        return answer()

    endpoint._next = later  # type: ignore[method-assign]
    endpoint.says("Ninety seconds.")
    session = await open_session(client)
    asked = asyncio.create_task(ask(session, "the horn?"))
    await eventually(lambda: _now(endpoint.requests), what="the endpoint to be asked")
    await session.signal(ChatSession.end)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await ask(session, "and the lens?")
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == "SessionEnded"
    go_on.set()
    assert (await asked).text == "Ninety seconds."
    assert (await session.result()).turns == 1


async def _now(value: Any) -> Any:
    return value


async def test_an_endpoint_answers(client: Client, endpoint: ChatEndpoint) -> None:
    """Asked with the passages, their names and what was said; the key goes with it."""
    endpoint.says("Every ninety seconds, says lighthouse.pdf.")
    session = await open_session(client)
    reply = await ask(session, "How often does the horn sound?")
    assert (reply.text, reply.model) == ("Every ninety seconds, says lighthouse.pdf.", "tiny")
    assert reply.passages[0].document == LIGHT
    await ask(session, "And the lens?")
    headers, body = endpoint.requests[-1]
    assert headers["authorization"] == "Bearer sk-hush"
    assert body["model"] == "tiny"
    system, question, answer, last = body["messages"]
    assert (system["role"], question["role"], answer["role"]) == ("system", "user", "assistant")
    assert question["content"] == "How often does the horn sound?"
    assert answer["content"] == reply.text
    assert "[lighthouse.pdf]" in last["content"]
    assert "ground in Birmingham" in last["content"]
    assert last["content"].endswith("Question: And the lens?")
    history = [event async for event in session.fetch_history_events()]
    assert "sk-hush" not in str(history)


async def test_an_endpoint_that_is_busy_is_asked_again(
    client: Client, endpoint: ChatEndpoint
) -> None:
    """When it says so, and not before."""
    endpoint.answers(429, {"error": "slow down"}, Retry_After="0.2")
    endpoint.answers(503, {"error": "overloaded"}, Retry_After="0")
    endpoint.says("At last.")
    assert (await ask(await open_session(client), "the horn?")).text == "At last."
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("status", "content"),
    [(401, {"error": "wrong key"}), (200, {"choices": []}), (200, "no object")],
)
async def test_an_endpoint_that_refuses_is_not_asked_again(
    client: Client, endpoint: ChatEndpoint, status: int, content: Any
) -> None:
    """The message fails with what it said; the session goes on."""
    endpoint.answers(status, content)
    endpoint.answers(status, content)
    session = await open_session(client)
    with pytest.raises(WorkflowUpdateFailedError, match="update failed"):
        await ask(session, "the horn?")
    assert len(endpoint.requests) == 1
    assert await session.query(ChatSession.history) == []


def test_a_quotation_is_the_sentence_that_answers() -> None:
    """Not the heading before it, and word forms count."""
    passage = Passage(
        document="az://c/bees.docx",
        name="bees.docx",
        number=0,
        text="Winter stores\n\nA colony needs\nabout twenty kilograms of honey. It is weighed in"
        " September. Neighbours like honey.",
    )
    for message, sentence in [
        (
            "How many kilograms does a colony need?",
            "A colony needs about twenty kilograms of honey.",
        ),
        ("When are they weighed?", "It is weighed in September."),
    ]:
        reply = responder.quote(Question(message=message, passages=[passage]))
        assert reply.text == f'bees.docx says: "{sentence}"'


def test_what_is_carried_on_is_bounded() -> None:
    """The newest turns, and how many were let go."""
    from chat_session.workflows import _MOST_KEPT, _newest

    turn = Turn(id="1", message="x" * 1000, reply=Reply(text="y" * 1000))
    kept = _newest([replace(turn, id=str(number)) for number in range(500)])
    assert kept[-1].id == "499"
    assert 50 < len(kept) < 500
    assert sum(turn.size for turn in kept) <= _MOST_KEPT
    assert _newest([replace(turn, message="x" * 10**6)]) == []
