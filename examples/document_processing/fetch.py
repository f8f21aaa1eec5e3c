"""Objects and pages from outside, bounded in size; and summaries written beside them.

Object stores are obstore's affair, with endpoints and credentials from the environment:
AWS_* (AWS_ENDPOINT_URL for S3-compatible stores) and AZURE_STORAGE_CONNECTION_STRING, or for Azure
without it AZURE_STORAGE_ACCOUNT_NAME and an identity.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import obstore
import obstore.exceptions
from obstore.store import AzureStore, ObjectStore, S3Store

from document_processing.locations import is_usual, split

LARGEST = 50_000_000
"""Bytes of a document."""
_CLIENT: Any = {"connect_timeout": "10s", "timeout": "60s"}
_RETRY: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}  # Temporal tries again
_HTTP = httpx.Timeout(20, connect=10)


class TooLarge(Exception):
    """It has more bytes than we take."""


class NameNotSupported(Exception):
    """obstore cannot name such an object, or would take it for another."""


async def fetch(url: str, file: Path, progress: Callable[[int], object]) -> int:
    """Fetch what a URL names into a file.

    Args:
        url: An s3, az, https or http URL.
        file: Written, whatever it held.
        progress: Told the number of bytes that are there, again and again.

    Returns:
        The number of bytes.

    Raises:
        FileNotFoundError: It is not there.
        TooLarge: It has more than `LARGEST` bytes.
        NameNotSupported: Its name has empty parts, or `.` or `..` for a part.
    """
    size = 0
    with file.open("wb") as output:
        async for chunk in _chunks(url):
            size += len(chunk)
            if size > LARGEST:
                raise TooLarge(f"it has more than {LARGEST:,} bytes")
            output.write(chunk)
            progress(size)
    return size


async def put(url: str, content: bytes) -> None:
    """Write an object; what was there is replaced.

    Raises:
        PermissionError: The store does not let us.
    """
    store, name = _store(url)
    try:
        await obstore.put_async(store, name, content)
    except obstore.exceptions.PermissionDeniedError as error:
        raise PermissionError(str(error)) from error


def _chunks(url: str) -> AsyncIterator[bytes]:
    return _of_page(url) if url.startswith("http") else _of_object(url)


async def _of_object(url: str) -> AsyncIterator[bytes]:
    store, name = _store(url)
    result = await obstore.get_async(store, name)
    async for chunk in result.stream(min_chunk_size=1 << 20):
        yield bytes(chunk)


async def _of_page(url: str) -> AsyncIterator[bytes]:
    async with (
        httpx.AsyncClient(follow_redirects=True, max_redirects=5, timeout=_HTTP) as client,
        client.stream("GET", url) as answer,
    ):
        if answer.status_code in (404, 410):
            raise FileNotFoundError(f"the server answers {answer.status_code}")
        answer.raise_for_status()
        async for chunk in answer.aiter_bytes():
            yield chunk


def _store(url: str) -> tuple[ObjectStore, str]:
    scheme, place, name = split(url)
    if not is_usual(url):
        raise NameNotSupported(f"its name has an empty part, or one of dots: {name!r}")
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        config: Any = {"endpoint": endpoint} if endpoint else {}
        client: Any = {**_CLIENT, "allow_http": endpoint.startswith("http://")}
        return S3Store(place, config=config, client_options=client, retry_config=_RETRY), name
    config = _azure(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    plain = config.get("use_emulator") or config.get("endpoint", "").startswith("http://")
    client = {**_CLIENT, "allow_http": bool(plain)}
    return AzureStore(place, config=config, client_options=client, retry_config=_RETRY), name


def _azure(connection_string: str) -> Any:
    """A connection string in obstore's words."""
    parts = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    if parts.get("UseDevelopmentStorage") == "true":
        return {"use_emulator": True}
    words = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_key",
        "BlobEndpoint": "endpoint",
    }
    config = {words[key]: value for key, value in parts.items() if key in words}
    if "EndpointSuffix" in parts:
        own = f"https://{config['account_name']}.blob.{parts['EndpointSuffix']}"
        config.setdefault("endpoint", own)
    return config
