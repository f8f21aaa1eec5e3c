"""A page of a container's listing: what is missing, malformed, or no listing at all."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from temporal_runner.plugin import TransientError
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.pages import read_page
from tests.azure.support import Open, Storage, receive
from tests.support import ThreadedServer

PROPERTIES = (
    "<Properties><Last-Modified>Mon, 27 Jul 2009 12:28:53 GMT</Last-Modified>"
    "<Etag>0x1</Etag><Content-Length>5</Content-Length></Properties>"
)


def page(*blobs: str, more: str = "") -> bytes:
    inside = "".join(f"<Blob>{blob}</Blob>" for blob in blobs)
    return (
        f"<EnumerationResults><Blobs>{inside}</Blobs><NextMarker>{more}</NextMarker>"
        "</EnumerationResults>"
    ).encode()


@pytest.fixture
def service() -> Iterator[Any]:
    """A Blob service of one answer: `service.content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(server.content)))
            self.end_headers()
            self.wfile.write(server.content)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server: Any = ThreadedServer(Handler)
    with server:
        yield server


def options(service: Any) -> AzureOptions:
    at = f"http://{service.host}/acc"
    secret = f"AccountName=acc;AccountKey=a2V5;BlobEndpoint={at}"
    return AzureOptions(mode="list", connection_string=secret, container="ccc")


@pytest.mark.parametrize(
    ("blob", "token"),
    [
        ("<Name>a</Name>", "None-"),
        ("<Name>a</Name><Properties/>", "None-"),
        (f"<Name>a</Name>{PROPERTIES.replace('0x1', '')}", "5-2009-07-27T12:28:53+00:00"),
        (f"<Name>a</Name>{PROPERTIES.replace('Mon', 'Some')}", "0x1"),
        (f"<Name>a</Name>{PROPERTIES.replace('27 Jul', '99 Foo')}", "0x1"),
        (f"<Name>a</Name>{PROPERTIES.replace('>5<', '>five<')}", "0x1"),
        (f"<Name>/a</Name>{PROPERTIES}", "0x1"),
        (f"<Name>//</Name>{PROPERTIES}", "0x1"),
        (f'<Name Encoded="true">a%ef%bf%bf</Name>{PROPERTIES}', "0x1"),
    ],
)
async def test_no_entry_stops_a_listing(service: Any, blob: str, token: str) -> None:
    """Its version is the etag or else size and time; the entry behind it comes, too."""
    service.content = page(blob, PROPERTIES, f"<Name>z</Name>{PROPERTIES}")
    async with Open(options(service)) as source:
        first, last = await receive(source, 2)
    assert first.event.id.endswith(f"@{token}")
    assert last.event.subject == "z"


async def test_the_same_marker_for_ever_is_an_error(service: Any) -> None:
    """It does not connect."""
    service.content = page(f"<Name>a</Name>{PROPERTIES}", more="m")
    with pytest.raises(TransientError, match="a token that it gave before"):
        async with Open(options(service)):
            pass


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!doctype html><p>Sign in<br>", "HTML"),
        (b"<html><body>Sign in</body></html>", "HTML"),
        (b"", "no listing"),
        (b"{}", "no listing"),
        (b"<ListBucketResult/>", "no listing"),
    ],
)
async def test_what_is_no_listing_is_named(service: Any, content: bytes, told: str) -> None:
    """Not an empty container, and not the SDK's own exception."""
    service.content = content
    with pytest.raises(TransientError, match=told) as raised:
        async with Open(options(service)):
            pass
    assert "Sign in" not in str(raised.value)
    assert "object" not in str(raised.value)


async def test_a_slash_led_name_is_listed(storage: Storage) -> None:
    """By the emulator."""
    storage.put("/a.txt")
    async with Open(storage.list_options()) as source:
        [delivery] = await receive(source)
        assert delivery.event.subject == "/a.txt"


def test_entities_do_not_grow() -> None:
    """A billion laughs are no listing."""
    bomb = b"<!DOCTYPE x [<!ENTITY a 'ha'>" + b"".join(
        f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>".encode() for i in range(9)
    )
    with pytest.raises(TransientError):
        read_page(bomb + b"]><EnumerationResults>&j;</EnumerationResults>")
