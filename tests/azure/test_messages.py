"""From a message's text to events: both schemas, both forms, base64, URLs of every kind."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temporal_runner_azure.events import (
    Undecodable,
    blob_address,
    blob_event_id,
    is_created_file,
)
from temporal_runner_azure.messages import (
    decode,
    encode,
    read_event,
)
from tests.azure.support import in_base64, saved

ACCOUNT_URL = "https://myaccount.blob.core.windows.net"


@pytest.mark.parametrize("schema", ["event_grid", "cloudevents"])
def test_a_blob_event_reads_the_same_in_both_schemas(schema: str) -> None:
    """id, source, type, subject, time and data are as docs/reference/azure.md has them."""
    event = read_event(saved(f"blob_created_{schema}"))
    assert event.id == "2026/annual report+1.pdf@0x8D4BCC2E4835CD0"
    assert event.source == f"{ACCOUNT_URL}/uploads"
    assert event.type == "Microsoft.Storage.BlobCreated"
    assert event.subject == "2026/annual report+1.pdf"
    assert event.time == datetime(2026, 6, 26, 18, 41, 0, 958410, UTC)
    assert event.datacontenttype == "application/json"
    assert event.data["account"] == "myaccount"
    assert event.data["container"] == "uploads"
    assert event.data["blob"] == "2026/annual report+1.pdf"
    assert event.data["url"] == f"{ACCOUNT_URL}/uploads/2026/annual%20report+1.pdf"
    assert event.data["contentLength"] == 524288
    assert event.extensions["eventgridid"] == "831e1650-001e-001b-66ab-eeb76e069631"
    assert event.extensions["eventgridtopic"].endswith("/storageAccounts/myaccount")
    assert "dataVersion" not in event.extensions


def test_cloudevents_extensions_are_kept() -> None:
    """A traceparent reaches the expressions."""
    event = read_event(saved("blob_created_cloudevents"))
    assert event.to_dict()["traceparent"].startswith("00-4bf92f35")


def test_another_version_of_a_blob_is_another_event() -> None:
    """The etag is in the identity: the same blob written again is not a duplicate."""
    first = saved("blob_created_event_grid")
    again = saved("blob_created_event_grid")
    again["data"]["eTag"] = "0x8D4BCC2E4835CD1"
    assert read_event(first).id != read_event(again).id
    assert read_event(first).source == read_event(again).source


def test_one_version_of_a_blob_is_one_event_however_often_event_grid_tells_it() -> None:
    """Two events with ids of their own about one etag have one identity."""
    first = saved("blob_created_event_grid")
    again = {**first, "id": "another-id-of-event-grid"}
    assert read_event(first).id == read_event(again).id


def test_data_lake_files_count_when_they_are_written_not_when_they_are_created() -> None:
    """CreateFile is told apart; FlushWithClose is the event, at the blob endpoint's address."""
    created, flushed = (read_event(entry) for entry in saved("data_lake_upload"))
    assert is_created_file(created)
    assert not is_created_file(flushed)
    assert flushed.source == "https://mylake.blob.core.windows.net/lake"
    assert flushed.subject == "landing/orders.csv"
    assert flushed.data["url"].startswith("https://mylake.dfs.core.windows.net/")
    assert created.id != flushed.id


def test_other_events_of_storage_keep_event_grids_id() -> None:
    """A deletion has no version to speak of; a rename speaks for itself."""
    deleted = read_event(saved("blob_deleted"))
    assert deleted.id == "4c2359fe-001e-00ba-0e04-58586806d298"
    assert (deleted.source, deleted.subject) == (f"{ACCOUNT_URL}/uploads", "old.pdf")
    renamed = read_event(saved("blob_renamed"))
    assert renamed.id == "5d1c0a1e-f01f-0011-33a4-1b8b4e069631"
    assert renamed.source.startswith("/subscriptions/")
    assert renamed.data["destinationUrl"].endswith("/done/orders.csv")


def test_events_of_other_topics_pass_as_they_are() -> None:
    """A custom topic's event keeps its id, topic, type, subject and data."""
    event = read_event(saved("custom_topic"))
    assert (event.id, event.type, event.subject) == (
        "order-A-17",
        "Shop.OrderPlaced",
        "orders/A-17",
    )
    assert event.source.endswith("/topics/orders")
    assert event.data == {"order": "A-17", "url": "this is no blob"}


@pytest.mark.parametrize("encoding", ["auto", "base64"])
@pytest.mark.parametrize("form", ["one", "array"])
def test_base64_messages_hold_one_event_or_several(encoding: str, form: str) -> None:
    """As Event Grid writes them."""
    event = saved("blob_created_event_grid")
    content = event if form == "one" else [event, event]
    assert decode(in_base64(content), encoding) == ([event] if form == "one" else content)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["auto", "text"])
@pytest.mark.parametrize("before", ["", "\n  ", "\ufeff"])
def test_plain_messages_hold_json(encoding: str, before: str) -> None:
    """As people and other senders write them."""
    event = saved("custom_topic")
    assert decode(before + json.dumps(event), encoding) == [event]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "encoding", "reason"),
    [
        ("hello", "auto", "neither JSON nor base64"),
        ("", "auto", "not JSON"),
        ('{"a": ', "auto", "not JSON"),
        (base64.b64encode(b"\xff\xfe").decode(), "auto", "neither JSON nor base64"),
        (base64.b64encode(b"hello").decode(), "auto", "not JSON"),
        ("{}", "base64", "not base64"),
        ("e30=", "text", "not JSON"),
        ("[]", "auto", "no event"),
        ("[" * 100_000, "auto", "not JSON"),
        ("[NaN]", "auto", "not JSON"),
        (r'["\ud800"]', "auto", "not JSON"),
    ],
)
def test_a_message_that_cannot_be_read_says_why(text: str, encoding: str, reason: str) -> None:
    """The reason is what stands in the poison queue."""
    with pytest.raises(Undecodable, match=reason):
        decode(text, encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "entry",
    [
        1,
        None,
        {},
        {"id": "1"},
        {"specversion": "1.0", "id": "", "source": "/s", "type": "t"},
        {"specversion": "1.0", "id": 7, "source": "/s", "type": "t"},
        {"eventType": "t", "id": "1"},
        {"eventType": "", "id": "1", "topic": "/t"},
        {
            "eventType": "Microsoft.Storage.BlobCreated",
            "id": "1",
            "topic": "/t",
            "data": {"url": "x"},
        },
    ],
)
def test_what_is_no_event_is_refused(entry: object) -> None:
    """Neither schema, or without what makes an event."""
    with pytest.raises(Undecodable):
        read_event(entry)


def test_cloudevents_binary_data_is_read() -> None:
    """data_base64 holds JSON, text or bytes: the first two are decoded."""
    base = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}

    def data(content: bytes) -> object:
        return read_event({**base, "data_base64": base64.b64encode(content).decode()}).data

    assert data(b'{"a": 1}') == {"a": 1}
    assert data(b"hello") == "hello"
    assert data(b"\xff") == "/w=="


@pytest.mark.parametrize(
    ("url", "container_url", "container", "blob"),
    [
        (f"{ACCOUNT_URL}/c/a.txt", f"{ACCOUNT_URL}/c", "c", "a.txt"),
        (f"{ACCOUNT_URL}/c/a%20b%2Bc+d%2525.txt", f"{ACCOUNT_URL}/c", "c", "a b+c+d%25.txt"),
        (f"{ACCOUNT_URL}/c/%E2%82%AC/x%2Fy", f"{ACCOUNT_URL}/c", "c", "€/x/y"),
        (f"{ACCOUNT_URL}/a.txt", f"{ACCOUNT_URL}/$root", "$root", "a.txt"),
        (f"{ACCOUNT_URL}/$root/a.txt", f"{ACCOUNT_URL}/$root", "$root", "a.txt"),
        (f"{ACCOUNT_URL}/%24root/a.txt", f"{ACCOUNT_URL}/$root", "$root", "a.txt"),
        ("https://myaccount.dfs.core.windows.net/c/a/b", f"{ACCOUNT_URL}/c", "c", "a/b"),
        ("https://myaccount-secondary.blob.core.windows.net/c/a", f"{ACCOUNT_URL}/c", "c", "a"),
        ("https://myaccount.privatelink.blob.core.windows.net/c/a", f"{ACCOUNT_URL}/c", "c", "a"),
        (
            "https://myaccount.dfs.core.usgovcloudapi.net/c/a",
            "https://myaccount.blob.core.usgovcloudapi.net/c",
            "c",
            "a",
        ),
        (
            "https://myaccount.blob.core.chinacloudapi.cn/c/a",
            "https://myaccount.blob.core.chinacloudapi.cn/c",
            "c",
            "a",
        ),
        (
            "https://myaccount.z07.blob.storage.azure.net/c/a",
            "https://myaccount.z07.blob.storage.azure.net/c",
            "c",
            "a",
        ),
        (
            "http://127.0.0.1:10000/devstoreaccount1/c/a/b%20c",
            "http://127.0.0.1:10000/devstoreaccount1/c",
            "c",
            "a/b c",
        ),
        (
            "http://azurite:10000/devstoreaccount1/a.txt",
            "http://azurite:10000/devstoreaccount1/$root",
            "$root",
            "a.txt",
        ),
    ],
)
def test_a_blobs_place_is_read_from_its_url(
    url: str, container_url: str, container: str, blob: str
) -> None:
    """Decoded once, $root, dfs and blob hosts, sovereign clouds, DNS zones, the emulator."""
    address = blob_address(url)
    assert (address.container, address.blob) == (container, blob)
    assert address.container_url == container_url


@pytest.mark.parametrize(
    "url", ["", "x", "https://", f"{ACCOUNT_URL}/", f"{ACCOUNT_URL}/c/", "/c/b"]
)
def test_what_is_no_blobs_url_is_refused(url: str) -> None:
    """A container alone, or half a URL."""
    with pytest.raises(ValueError, match="not the URL of a blob"):
        blob_address(url)


def test_an_event_id_stays_short_and_unique() -> None:
    """Names of a thousand characters that differ at their beginning only make different ids."""
    ids = {blob_event_id(first + "n" * 1000, '"0x1"') for first in "ab"}
    assert len(ids) == 2
    assert all(len(id_) < 200 for id_ in ids)


@given(st.text(), st.sampled_from(["auto", "base64", "text"]))
def test_any_text_is_read_or_refused(text: str, encoding: str) -> None:
    """Nothing but Undecodable leaves the decoder."""
    try:
        for entry in decode(text, encoding):  # type: ignore[arg-type]
            read_event(entry)
    except Undecodable:
        pass


@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1))
def test_what_is_written_back_reads_the_same(entries: list[object]) -> None:
    """The rest of a message keeps its form, base64 or not."""
    for like in ("{}", "[]", "e30="):
        assert decode(encode(entries, like), "auto") == entries
