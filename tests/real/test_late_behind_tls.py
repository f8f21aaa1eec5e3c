"""A Temporal that is late behind a port with TLS is waited for, whatever that port asks for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.service import HttpConnectProxyConfig, TLSConfig

from temporal_runner import GaveUp, PermanentError, connect_to_temporal_with_retry
from temporal_runner.runtime.connection.handshake import tls_of
from tests.conftest import WriteConfig
from tests.real.impostors import Authority, cutting, forward_to, serving
from tests.support import RunnerProcess, TemporalServer, free_port

NAME = "temporal.example.org"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The authority of both sides."""
    return Authority()


async def outcome(address: str, **arguments: object) -> GaveUp | PermanentError:
    """How two attempts end."""
    try:
        await connect_to_temporal_with_retry(
            address,
            max_attempts=2,
            base_delay=0.01,
            **arguments,  # type: ignore[arg-type]
        )
    except (GaveUp, PermanentError) as error:
        return error
    raise AssertionError("it connected")


def ours(authority: Authority, of: Authority | None = None, name: str | None = None) -> TLSConfig:
    """A client's options: whom it trusts, and with a pair of which authority."""
    certificate, key = of.client_pair() if of else (None, None)
    return TLSConfig(
        server_root_ca_cert=authority.pem,
        domain=name,
        client_cert=certificate,
        client_private_key=key,
    )


def needs_name(tls: ssl.SSLContext) -> ssl.SSLContext:
    """Refuses whoever does not ask for the name, as a proxy of many names does."""

    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        return None if name == NAME else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    tls.sni_callback = choose
    return tls


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_late_behind_mutual_tls(authority: Authority, version: ssl.TLSVersion) -> None:
    """The port takes our certificate, then cuts the connection: nothing is wrong with us."""
    tls = authority.server_context("127.0.0.1", ask_client=True)
    tls.maximum_version = version
    with cutting(tls) as address:
        error = await outcome(address, tls=ours(authority, authority))
    assert isinstance(error, GaveUp), error


async def test_late_behind_a_proxy_of_many_names(authority: Authority) -> None:
    """It hands on by the name that the client asks for."""
    tls = needs_name(authority.server_context(NAME, ask_client=True))
    with cutting(tls) as address:
        error = await outcome(address, tls=ours(authority, authority, NAME))
    assert isinstance(error, GaveUp), error


def test_whether_a_client_speaks_tls() -> None:
    """As the SDK decides it: an API key turns it on, where nothing else is said."""
    given = TLSConfig(domain=NAME)
    assert tls_of({"tls": given}) is given
    assert tls_of({"tls": True}) == tls_of({"api_key": "key"}) == TLSConfig()
    for plain in ({}, {"tls": False}, {"tls": None}, {"tls": False, "api_key": "key"}):
        assert tls_of(plain) is None


async def test_late_behind_a_proxy_that_is_connected_through(authority: Authority) -> None:
    """What answers without the proxy tells nothing."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        await reader.read(1)

    with cutting(authority.server_context("127.0.0.1")) as address:
        async with serving(cut) as proxy:
            through = HttpConnectProxyConfig(target_host=proxy)
            error = await outcome(address, http_connect_proxy_config=through)
    assert isinstance(error, GaveUp), error


async def test_late_behind_a_server_that_is_not_trusted(authority: Authority) -> None:
    """Its own failure, and no word of our certificate, which it never saw."""
    tls = authority.server_context("127.0.0.1", ask_client=True)
    with cutting(tls) as address:
        error = await outcome(address, tls=ours(Authority(), authority))
    assert "client's certificate" not in str(error)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_the_server_does_not_trust(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    """Settled by the alert, with and without a certificate of ours."""
    tls = authority.server_context("127.0.0.1", ask_client=True)
    tls.maximum_version = version
    with cutting(tls) as address:
        for stranger in (None, Authority()):
            error = await outcome(address, tls=ours(authority, stranger))
            assert isinstance(error, PermanentError), error
            assert "client_cert_path" in error.next_step


async def test_the_runner_waits_for_it(
    temporal_server: TemporalServer,
    write_config: WriteConfig,
    authority: Authority,
    tmp_path: Path,
    start_runner: Callable[..., RunnerProcess],
) -> None:
    """`runner start` with a pair from the config, from the first cut to ready."""
    certificate, key = authority.client_pair()
    for name, content in (("ca", authority.pem), ("cert", certificate), ("key", key)):
        (tmp_path / f"{name}.pem").write_bytes(content)
    tls = authority.server_context("127.0.0.1", ask_client=True)
    port = free_port()
    config = write_config(f"""
        import_paths: [{Path(__file__).parents[2]}]
        retry: {{base_delay: 50ms, max_delay: 200ms}}
        temporal:
          address: "127.0.0.1:{port}"
          tls:
            server_ca_cert_path: ca.pem
            client_cert_path: cert.pem
            client_key_path: key.pem
        workers:
          echo: {{task_queue: late, workflows: [tests.real.flows:Echo]}}
    """)
    with cutting(tls, port):
        runner = start_runner("start", config)
        await asyncio.to_thread(runner.wait_for, "attempt 3 failed")
    async with serving(forward_to(temporal_server.address), tls, port):
        await asyncio.to_thread(runner.wait_for, "ready: config.yaml")
        assert await asyncio.to_thread(runner.stop) == 0
