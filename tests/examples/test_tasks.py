"""From an event to a task: pure, for any event whatever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from document_processing.locations import name_of, summary_of, url_of
from root_orchestrator.tasks import task_of
from tests.azure.support import saved as azure_message
from tests.s3.support import saved as s3_message

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KINDS = ["ObjectCreated:Put", "Microsoft.Storage.BlobCreated", "document.added", "chat.message"]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("https://example.org/a%20b.pdf?x=1", "https://example.org/a%20b.pdf?x=1"),
        (
            {"bucket": {"name": "b"}, "object": {"key": "in/a b+ü%.pdf", "size": 1}},
            "s3://b/in/a b+ü%.pdf",
        ),
        ({"container": "c", "blob": "a/b.pdf", "url": "https://x/c/a/b.pdf"}, "az://c/a/b.pdf"),
        ({"url": "https://example.org/a.pdf"}, "https://example.org/a.pdf"),
        ({"type": "t", "data": {"url": "s3://b/k"}}, "s3://b/k"),
    ],
)
def test_what_names_an_object(source: Any, url: str) -> None:
    """An event's data, a whole event, a URL."""
    assert url_of(source) == url


@pytest.mark.parametrize(
    "source", [None, 3, "", "a.pdf", "file:///etc/passwd", "s3://", {}, {"url": 1}, {"data": {}}]
)
def test_what_names_none(source: Any) -> None:
    """Files of the worker's own machine above all."""
    with pytest.raises(ValueError, match="names no object"):
        url_of(source)


def test_names_and_places_of_summaries() -> None:
    """Nothing can be written beside a web page."""
    assert name_of("s3://b/in/a b%.pdf") == "a b%.pdf"
    assert name_of("https://example.org/x/a%20b.pdf?q=/c") == "a b.pdf"
    assert name_of("https://example.org") == "example.org"
    assert summary_of("az://c/a.pdf") == "az://c/a.pdf.summary.json"
    assert summary_of("https://example.org/a.pdf") is None


def test_each_type_has_its_child() -> None:
    """Documents from S3, Azure and the web; sessions and their messages; nothing for others."""
    s3 = json.loads(s3_message("notification-put"))["Records"][0]["s3"]
    blob = azure_message("blob_created_event_grid")["data"] | {"container": "c", "blob": "a.pdf"}
    for kind, data, child in [
        ("ObjectCreated:Put", s3, "document"),
        ("Microsoft.Storage.BlobCreated", blob, "document"),
        ("document.added", {"url": "https://example.org/a.pdf"}, "document"),
        ("chat.start", {"session": "ada"}, "chat.start"),
        ("chat.message", {"session": "ada", "text": "hello"}, "chat.message"),
        ("chat.end", {"session": "ada"}, "chat.end"),
        ("ObjectRemoved:Delete", s3, None),
        ("order.paid", {}, None),
    ]:
        task = task_of({"id": "1", "source": "/x", "type": kind, "data": data})
        assert task.kind == child
        assert (task.reason is None) == (child is not None)


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("chat.message", {"session": "ada", "text": "  "}, "data.text"),
        ("chat.message", {"session": "ada", "text": "x" * 5000}, "data.text"),
        ("chat.message", {"text": "hello"}, "data.session"),
        ("chat.start", None, "data.session"),
        ("document.added", {"path": "a.pdf"}, "names no object"),
        ("document.added", {"url": "s3://b/a.pdf.summary.json"}, "it is a summary"),
    ],
)
def test_what_is_not_right_says_why(kind: str, data: Any, reason: str) -> None:
    """Such an event is reported, and starts nothing."""
    task = task_of({"id": "1", "source": "/x", "type": kind, "data": data})
    assert task.kind is None
    assert reason in (task.reason or "")


def test_the_same_event_has_the_same_child() -> None:
    """And another event of the same object another one."""
    event = {"id": "1", "source": "s3://b", "type": "ObjectCreated:Put", "data": "s3://b/k.pdf"}
    again = task_of(dict(event))
    assert task_of(event) == again
    assert again.workflow_id is not None
    assert again.workflow_id.startswith("document-k.pdf-")
    assert task_of({**event, "id": "2"}).workflow_id != again.workflow_id


@given(st.dictionaries(st.sampled_from(["id", "source", "type", "data"]), ANYTHING))
def test_no_event_is_an_error(event: dict[str, Any]) -> None:
    """An exception in a signal's handler would stop the orchestrator for good."""
    for kind in (*KINDS, event.get("type")):
        task_of({**event, "type": kind})
