"""A look at a connection that was cut: a TLS handshake with the very options of the connection.

The SDK's text for a cut connection is the same whether the server ended, speaks TLS to a client
that does not, or wants another certificate. What the handshake does not settle may pass: a proxy
that asks for a certificate cuts the connection too while Temporal behind it is late.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temporalio.service import TLSConfig

from temporal_runner.errors import PermanentError
from temporal_runner.plan.sdk_internals import ConnectError

_TIMEOUT = 2.0
_ABOUT_THE_CERTIFICATE = re.compile("CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR")
"""Of OpenSSL's names of the alerts by which a server refuses a client's certificate."""


def tls_of(arguments: Mapping[str, Any]) -> TLSConfig | None:
    """The TLS options that `Client.connect` takes from its arguments; None is no TLS."""
    tls = arguments.get("tls")
    if isinstance(tls, TLSConfig):
        return tls
    on = arguments.get("api_key") is not None if tls is None else bool(tls)
    return TLSConfig() if on else None


async def look_closer(
    address: str, error: Exception, arguments: Mapping[str, Any]
) -> PermanentError | None:
    """Whether a connection that was cut means TLS trouble: by a handshake, which settles it.

    Args:
        address: host:port.
        error: What `Client.connect` raised.
        arguments: The other arguments of `Client.connect`.

    Returns:
        The error to report instead, or None where the failure may pass by itself.
    """
    if not re.search(ConnectError.CUT, str(error)):
        return None
    if arguments.get("http_connect_proxy_config") is not None:
        return None  # what answers without the proxy says nothing of what is behind it
    tls = tls_of(arguments)
    if tls is None:
        if not await _speaks_tls(address):
            return None
        return PermanentError(
            f"the server at {address} speaks TLS, and this client does not",
            next_step="set `tls: {}` on the connection (TEMPORAL_TLS=true), with the certificates"
            " that the server asks for",
        )
    alert = await _alert(address, tls)
    if alert is None or not _ABOUT_THE_CERTIFICATE.search(alert):
        return None
    said = alert.partition("ALERT_")[2].lower().replace("_", " ")
    if tls.client_cert is None:
        message = f"the server at {address} asks for a client certificate ({said})"
        step = "set tls.client_cert_path and tls.client_key_path to a pair that it trusts"
    else:
        message = f"the server at {address} refuses the client's certificate ({said})"
        step = (
            "tls.client_cert_path and tls.client_key_path have to be a pair that the server"
            " trusts and that is valid now"
        )
    return PermanentError(message, next_step=step)


async def _speaks_tls(address: str) -> bool:
    """Whether a server speaks TLS to a client that trusts all and has no certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only asked whether it is TLS; nothing is sent
    context.set_alpn_protocols(["h2"])
    try:
        await _shake_hands(address, context, None)
    except ssl.SSLError as error:
        return "_ALERT_" in (error.reason or "")
    except (OSError, TimeoutError, ValueError):
        return False
    return True


async def _alert(address: str, tls: TLSConfig) -> str | None:
    """OpenSSL's name of the alert that ends a handshake with these options; None without one."""
    try:
        context = ssl.create_default_context()
        if tls.server_root_ca_cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=tls.server_root_ca_cert.decode())
        context.check_hostname = tls.verification_server_name is None
        context.set_alpn_protocols(["h2"])
        if tls.client_cert is not None and tls.client_private_key is not None:
            with _as_file(tls.client_cert + b"\n" + tls.client_private_key) as path:
                context.load_cert_chain(path, password="")
        await _shake_hands(address, context, tls.domain)
    except ssl.SSLError as error:
        return error.reason if "_ALERT_" in (error.reason or "") else None
    except (OSError, TimeoutError, ValueError):
        pass  # also where OpenSSL does not take what the SDK takes
    return None


async def _shake_hands(address: str, context: ssl.SSLContext, name: str | None) -> None:
    """Shake hands and listen for a moment.

    With TLS 1.3 the server refuses a certificate only after the client's side of the handshake.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=context, server_hostname=name or host
        )
    try:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_TIMEOUT):
                await reader.read(1)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_TIMEOUT):
                await writer.wait_closed()


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to this content, since Python's TLS takes a key from nowhere else.

    In memory where the system can, else in a file that only this user reads.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pair")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    descriptor, path = tempfile.mkstemp()
    try:
        os.write(descriptor, content)
        os.close(descriptor)
        yield path
    finally:
        Path(path).unlink()
