"""Signing in with Entra ID: one credential for all, a bounded search for a metadata service."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from temporal_runner.plugin import PermanentError, TransientError
from temporal_runner_azure.client import Container, Queue
from temporal_runner_azure.config import AzureOptions
from temporal_runner_azure.identity import shared_token
from tests.azure.support import Open

SCOPE = "https://storage.azure.com/.default"
AZURE_VARIABLES = (
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TOKEN_CREDENTIALS",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
)


def options(**more: Any) -> AzureOptions:
    """A queue listener that signs in with an identity."""
    return AzureOptions.model_validate(
        {"mode": "queue", "queue": "events", "account": "myaccount", **more}
    )


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine's own identity has a part in this."""
    for name in AZURE_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def metadata_service(answer: bytes | None) -> AsyncIterator[tuple[str, list[str]]]:
    """A metadata service on a free port, and the requests it got; None never answers."""
    requests: list[str] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if answer is not None:
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            writer.write(head.encode() + f"Content-Length: {len(answer)}\r\n\r\n".encode() + answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", requests
    finally:
        server.close()
        for writer in writers:
            writer.close()


def token() -> bytes:
    """What a metadata service answers."""
    expires = int(time.time()) + 3600
    return json.dumps(
        {
            "access_token": "the-token",
            "expires_on": str(expires),
            "resource": "https://storage.azure.com",
            "token_type": "Bearer",
        }
    ).encode()


async def test_one_credential_serves_all_listeners_of_an_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two listeners: one object, one token request, closed with the last of them."""
    async with metadata_service(token()) as (url, requests):
        monkeypatch.setenv("IDENTITY_ENDPOINT", url)
        monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-platform")
        first = shared_token(options(identity="managed", client_id="one"))
        second = shared_token(options(identity="managed", client_id="one", queue="others"))
        other = shared_token(options(identity="managed", client_id="two"))
        assert first is second
        assert first is not other
        for shared in (first, second):
            assert (await shared.get_token_info(SCOPE)).token == "the-token"
            assert (await shared.get_token(SCOPE)).token == "the-token"
        assert len(requests) == 1
        assert "client_id=one" in requests[0]
        await first.release()
        assert shared_token(options(identity="managed", client_id="one")) is second
        await second.release()
        await second.release()
        await other.release()
        renewed = shared_token(options(identity="managed", client_id="one"))
        assert renewed is not second
        await renewed.release()


async def test_the_default_chain_finds_a_managed_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment but the platform's endpoint."""
    async with metadata_service(token()) as (url, _):
        monkeypatch.setenv("IDENTITY_ENDPOINT", url)
        monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-platform")
        shared = shared_token(options())
        assert (await shared.get_token_info(SCOPE)).token == "the-token"
        await shared.release()


@pytest.mark.parametrize("identity", ["managed", "default"])
async def test_a_silent_metadata_service_does_not_hold_the_runner_up(
    monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    """It accepts and never answers: transient, after token_timeout."""
    async with metadata_service(None) as (url, requests):
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        began = time.monotonic()
        with pytest.raises(TransientError, match=r"no token within 0\.3s"):
            async with Open(options(identity=identity, token_timeout="300ms")):
                pass
        assert time.monotonic() - began < 3
        assert requests


async def test_a_workload_identity_that_is_not_there_is_a_permanent_error() -> None:
    """Outside the cluster: what is missing, and what to do."""
    with pytest.raises(PermanentError, match="next step: run where that identity is provided"):
        async with Open(options(identity="workload")):
            pass


async def test_a_workload_identity_reads_the_clusters_token_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """With what Kubernetes' webhook sets; the tenant may come from the config."""
    (tmp_path / "token").write_text("the-cluster's-token")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AZURE_CLIENT_ID", "from-the-environment")
    shared = shared_token(options(identity="workload", tenant_id="from-the-config"))
    assert type(shared.credential).__name__ == "WorkloadIdentityCredential"
    await shared.release()


@pytest.mark.parametrize("connection", ["nonsense", "AccountName=a;AccountKey=b"])
async def test_a_connection_string_that_cannot_be_used_is_a_permanent_error(
    connection: str,
) -> None:
    """Before anything is dialled, and without showing it."""
    written = {"mode": "queue", "queue": "events", "connection_string": connection}
    with pytest.raises(
        PermanentError, match=r"next step: (copy the connection|look whether)"
    ) as raised:
        async with Open(AzureOptions.model_validate(written)):
            pass
    assert "AccountKey=b" not in str(raised.value)


@pytest.mark.parametrize("secret", [{"sas": "sv=2026&sig=abc"}, {"account_key": "a2V5"}])
async def test_an_account_is_found_at_its_clouds_address(secret: dict[str, str]) -> None:
    """Queue and blob services of a sovereign cloud, signed in without Entra ID."""
    listed = AzureOptions.model_validate(
        {
            "mode": "list",
            "account": "myaccount",
            "endpoint_suffix": "core.chinacloudapi.cn",
            "container": "uploads",
            "dead_letter_queue": "rejected",
            **secret,
        }
    )
    container, dead_letters = Container(listed, "uploads"), Queue(listed, "rejected")
    assert container.url == "https://myaccount.blob.core.chinacloudapi.cn/uploads"
    assert dead_letters.url == "https://myaccount.queue.core.chinacloudapi.cn/rejected"
    await container.close()
    await dead_letters.close()
