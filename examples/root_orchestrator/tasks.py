"""From an event to what is to be done, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from document_processing.locations import SUMMARY_SUFFIX, name_of, url_of

_DOCUMENTS = ("ObjectCreated", "Microsoft.Storage.BlobCreated", "document.added")
_CHATS = ("chat.start", "chat.message", "chat.end")
_LONGEST_TEXT = 4000
_TOLD = 200
"""Characters of a message that the report has; all of it stands in the session's history."""

Kind = Literal["document", "chat.start", "chat.message", "chat.end"]
Status = Literal["running", "completed", "failed", "ignored"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What an event asks for.

    Attributes:
        key: What tells the event from all others: its source and ID.
        type: The event's type.
        kind: What is to be done; None where it is nothing.
        workflow_id: The child's, or the session's.
        target: The document's URL.
        text: The message.
        reason: Why nothing is to be done.
    """

    key: str
    type: str
    kind: Kind | None = None
    workflow_id: str | None = None
    target: str | None = None
    text: str | None = None
    reason: str | None = None

    @property
    def digest(self) -> str:
        """The key where an ID has to be short."""
        return _digest(self.key)

    @property
    def size(self) -> int:
        """About how many characters it takes to hand it on."""
        texts = (self.key, self.target, self.text, self.workflow_id)
        return 200 + sum(len(text or "") for text in texts)

    def begun(self) -> Outcome:
        """What is to be reported of it now."""
        return Outcome(
            key=self.key,
            type=self.type,
            subject=self.target or (self.text and self.text[:_TOLD]),
            workflow_id=self.workflow_id,
            status="running" if self.kind else "ignored",
            reason=self.reason,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an event.

    Attributes:
        key: What tells the event from all others: its source and ID.
        type: Its type.
        subject: The document's URL, or the beginning of the message.
        workflow_id: Who has it; None where nobody does.
        status: How far it is.
        result: A document's summary, or a message's reply with the documents that it is from.
        reason: Why it failed or was ignored.
    """

    key: str
    type: str
    subject: str | None
    workflow_id: str | None
    status: Status
    result: dict[str, Any] | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of the events, as far as it is remembered.

    Attributes:
        outcomes: One an event, in the order in which they came.
        forgotten: Older ones that are remembered no more.
    """

    outcomes: list[Outcome]
    forgotten: int


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What one run hands to the next.

    Attributes:
        unfinished: Events that are under way: the next run takes them again, which does nothing
            twice, for IDs derive from the event.
        outcomes: What became of the events so far.
        forgotten: How many are remembered no more.
    """

    unfinished: list[Task] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    forgotten: int = 0


def task_of(event: Mapping[str, Any]) -> Task:
    """What an event, in CloudEvents' JSON form, asks for."""
    kind = str(event.get("type", ""))
    key = f"{event.get('source', '')} {event.get('id', '')}"
    try:
        if kind.startswith(_DOCUMENTS):
            return _document(event, key, kind)
        if kind in _CHATS:
            return _chat(event, key, kind)
    except ValueError as error:
        return Task(key=key, type=kind, reason=str(error))
    return Task(key=key, type=kind, reason=f"no child is for events of the type {kind!r}")


def _document(event: Mapping[str, Any], key: str, kind: str) -> Task:
    url = url_of(event)
    if url.endswith(SUMMARY_SUFFIX):
        raise ValueError("it is a summary, which was written for a document")
    workflow_id = f"document-{name_of(url)[:100]}-{_digest(key)[:12]}"
    return Task(key=key, type=kind, kind="document", workflow_id=workflow_id, target=url)


def _chat(event: Mapping[str, Any], key: str, kind: Any) -> Task:
    data = event.get("data")
    session = data.get("session") if isinstance(data, Mapping) else None
    if not isinstance(session, str) or not 0 < len(session) <= 200:
        raise ValueError("data.session has to be the session's name, of up to 200 characters")
    text = None
    if kind == "chat.message":
        assert isinstance(data, Mapping)
        text = data.get("text")
        if not isinstance(text, str) or not 0 < len(text.strip()) <= len(text) <= _LONGEST_TEXT:
            raise ValueError(f"data.text has to be a text of up to {_LONGEST_TEXT} characters")
    return Task(key=key, type=kind, kind=kind, workflow_id=f"chat-{session}", text=text)


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
