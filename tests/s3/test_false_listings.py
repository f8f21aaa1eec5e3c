"""Listings of servers that misbehave: all of it is seen, or it is an error that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest

from temporal_runner.plugin import PullSource, TransientError
from tests.s3.conftest import OpenSource
from tests.s3.support import receive
from tests.support import ThreadedServer

TIME = "2026-01-02T03:04:05.000Z"
Answer = Callable[[str], str]
"""The XML, or whatever it is, for a continuation token."""


def page(entries: str, more: str = "") -> str:
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name>{more}{entries}</ListBucketResult>"
    )


def entry(key: str, *, time: str = TIME, etag: str = '"e"', size: str = "5") -> str:
    parts = {"Key": key, "LastModified": time, "ETag": etag, "Size": size}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items() if value)
    return f"<Contents>{inside}</Contents>"


def more(token: str) -> str:
    told = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return f"<IsTruncated>true</IsTruncated>{told}"


class Store(ThreadedServer):
    """An S3 that answers each listing as a test says."""

    def __init__(self) -> None:
        self.answer: Answer = lambda token: page("")
        self.media_type = "application/xml"
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query)
                content = store.answer(asked.get("continuation-token", [""])[0]).encode()
                self.send_response(200)
                self.send_header("Content-Type", store.media_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        super().__init__(Handler)
        self.url = f"http://{self.host}"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as store:
        yield store


async def listed(store: Store, open_source: OpenSource) -> PullSource:
    return await open_source(
        mode="list", bucket="b", endpoint_url=store.url, poll_interval="50ms", max_in_flight=10_000
    )


async def drained(source: PullSource, pages: int = 1200) -> None:
    """Receive until the listing is found out."""
    for _ in range(pages):
        await source.receive()


async def test_more_without_a_token_is_an_error(store: Store, open_source: OpenSource) -> None:
    """1,000 of 1,500 objects are not all of them; the source does not connect."""
    store.answer = lambda token: page(entry("a"), more(""))
    with pytest.raises(TransientError, match="gives no token"):
        await listed(store, open_source)


async def test_the_same_token_for_ever_is_an_error(store: Store, open_source: OpenSource) -> None:
    """It does not even connect: the second page says that it is the second for ever."""
    store.answer = lambda token: page(entry(f"a{token}"), more("t"))
    with pytest.raises(TransientError, match="a token that it gave before"):
        await listed(store, open_source)


@pytest.mark.parametrize("first", ["a", ""])
async def test_tokens_in_a_circle_are_an_error(
    store: Store, open_source: OpenSource, first: str
) -> None:
    """Two or three tokens that take turns, whether the pages hold anything or not."""
    turn = {"": "1", "1": "2", "2": "3", "3": "1"}
    store.answer = lambda token: page(first and entry(f"a{token}"), more(turn[token]))
    source = await listed(store, open_source)
    with pytest.raises(TransientError, match="a token that it gave before"):
        await drained(source)


async def test_the_same_page_under_new_tokens_is_an_error(
    store: Store, open_source: OpenSource
) -> None:
    """A server that does not look at the token gives its first page for ever."""
    tokens = count()
    store.answer = lambda token: page(entry("a"), more(str(next(tokens))))
    with pytest.raises(TransientError, match="the same page"):
        await listed(store, open_source)


async def test_empty_pages_may_come_but_not_for_ever(
    store: Store, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores give empty pages between full ones; nothing else but those is no listing."""
    monkeypatch.setattr("temporal_runner.plugin.listing._MOST_EMPTY_PAGES", 20)
    store.answer = lambda token: (
        page(entry("z")) if token == "15" else page("", more(str(int(token or 0) + 1)))
    )
    (found,) = await receive(await listed(store, open_source), 1)
    assert found.event.subject == "z"
    store.answer = lambda token: page("", more(str(int(token or 0) + 1)))
    with pytest.raises(TransientError, match="nothing but empty pages"):
        await drained(await listed(store, open_source))


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (entry("a", etag=""), "5-20260102T"),
        (entry("a", size="", etag=""), "None-2026"),
        (entry("a", time="", etag=""), "5-"),
        (entry("a", time="yesterday"), "e"),
        (entry("a", time="", size=""), "e"),
        (entry("/a"), "e"),
        (entry("//"), "e"),
        (entry("") + entry("a"), "e"),
    ],
)
async def test_optional_elements_are_optional(
    store: Store, open_source: OpenSource, one: str, told: str
) -> None:
    """No etag falls back on size and time; no entry stops those behind it."""
    store.answer = lambda token: page(one + entry("zz"))
    first, last = await receive(await listed(store, open_source), 2)
    assert f"@{told}" in first.event.id
    assert last.event.subject == "zz"


async def test_an_entry_that_makes_no_event_does_not_stop_the_others(
    store: Store, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is delivered as what cannot be read, for the listener to reject and keep."""
    from temporal_runner_s3.events import ObjectEvent

    event = ObjectEvent.event

    def careful(self: ObjectEvent, token: str | None = None) -> object:
        if self.key == "bad":
            raise ValueError("no event")
        return event(self, token)

    monkeypatch.setattr(ObjectEvent, "event", careful)
    store.answer = lambda token: page(entry("bad") + entry("good"))
    bad, good = await receive(await listed(store, open_source), 2)
    assert "'bad' makes no event: no event" in bad.unreadable
    assert bad.event.data["key"] == "bad"
    assert good.event.subject == "good"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        ("<!doctype html><p>Sign in<br>", "text/html"),
        ("<html><body>Sign in</body></html>", "Text/HTML; charset=utf-8"),
        ("<html><body>Sign in</body></html>", "application/xml"),
    ],
)
async def test_a_page_of_html_is_named_as_what_it_is(
    store: Store, open_source: OpenSource, content: str, media_type: str
) -> None:
    """A captive portal's 200 is not an empty bucket, and the error quotes no page."""
    store.answer, store.media_type = lambda token: content, media_type
    with pytest.raises(TransientError, match=r"HTML|nothing of a listing") as raised:
        await listed(store, open_source)
    assert "Sign in" not in str(raised.value)
    assert "endpoint_url" in str(raised.value)


async def test_a_queue_of_html_is_no_empty_queue(store: Store, open_source: OpenSource) -> None:
    """The same in front of SQS, whose client takes any JSON or none."""
    store.answer, store.media_type = lambda token: "<html>Sign in</html>", "text/html"
    with pytest.raises(TransientError, match="a page of HTML"):
        await open_source(queue_url=f"{store.url}/1/q", endpoint_url=store.url)


async def test_a_listing_that_says_nothing_of_more_ends(
    store: Store, open_source: OpenSource
) -> None:
    """IsTruncated is missing: with a token there is more, without there is not."""
    store.answer = lambda token: (
        page(entry("b"))
        if token
        else page(entry("a"), "<NextContinuationToken>t</NextContinuationToken>")
    )
    found = await receive(await listed(store, open_source), 2)
    assert [one.event.subject for one in found] == ["a", "b"]
