"""What a failed attempt to reach Temporal means, told by its text.

`Client.connect` raises a plain RuntimeError without a status code, so the text is all there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl

from temporalio.service import RPCError, RPCStatusCode

from temporal_runner.errors import PermanentError
from temporal_runner.plan.sdk_internals import ConnectError
from temporal_runner.retry.connector import Diagnosis


def diagnose(error: Exception) -> Diagnosis:
    """What a failed attempt to connect means."""
    if isinstance(error, PermanentError):
        return Diagnosis("Permanent", permanent=True, next_step=error.next_step)
    if isinstance(error, RPCError):
        return _diagnose_rpc(error)
    if isinstance(error, ValueError):
        return Diagnosis(
            "InvalidOptions", permanent=True, next_step="correct the connection's options"
        )
    text = str(error)
    for pattern, diagnosis in _BY_TEXT:
        if re.search(pattern, text):
            return diagnosis
    return Diagnosis(type(error).__name__)


_HANDSHAKE_TIMEOUT = 2.0
_WRONG_KEY = "check the API key or the client certificate, and that they belong to this namespace"
_NOT_TEMPORAL = "it is not Temporal that answers there: check the address"
_BY_TEXT = (
    (
        ConnectError.TLS_TO_PLAINTEXT,
        Diagnosis(
            "TlsToPlaintext",
            "this client speaks TLS, and the server does not",
            permanent=True,
            next_step="the server speaks no TLS: remove `tls` and `api_key` (an API key turns TLS"
            " on), or set tls: {disabled: true}",
        ),
    ),
    (
        ConnectError.CERTIFICATE_NOT_TRUSTED,
        Diagnosis(
            "InvalidCertificate",
            "the server's certificate is not trusted",
            permanent=True,
            next_step="set tls.server_ca_cert_path to the authority that signed the server's"
            " certificate, and tls.server_name to the name in it",
        ),
    ),
    (
        ConnectError.CERTIFICATE_REFUSED,
        Diagnosis(
            "TlsRefused",
            "the server refuses the client's certificate",
            permanent=True,
            next_step="the server refuses the client's certificate: set tls.client_cert_path and"
            " tls.client_key_path to a pair that it trusts",
        ),
    ),
    (
        ConnectError.KEY_UNREADABLE,
        Diagnosis(
            "InvalidKey",
            "the client's certificate or its key cannot be read, or they are no pair",
            permanent=True,
            next_step="give tls.client_cert and tls.client_key as a pair of PEM texts or files",
        ),
    ),
    (
        ConnectError.UNAUTHENTICATED,
        Diagnosis("Unauthenticated", permanent=True, next_step=_WRONG_KEY),
    ),
    (
        ConnectError.PERMISSION_DENIED,
        Diagnosis("PermissionDenied", permanent=True, next_step=_WRONG_KEY),
    ),
    (
        ConnectError.NOT_GRPC,
        Diagnosis(
            "NotGrpc",
            "what answers there speaks no gRPC",
            tries=3,
            next_step="something else than Temporal answers there, such as a web server: check the"
            " address (the frontend's port is 7233 by default, the web UI's 8233)",
        ),
    ),
    (
        ConnectError.REFUSED,
        Diagnosis(
            "ConnectionRefused", "connection refused", next_step="is Temporal running there?"
        ),
    ),
    (
        ConnectError.NAME_NOT_FOUND,
        Diagnosis(
            "NameNotFound",
            "the host's name is not known",
            next_step="check the host's name, and that its service is up",
        ),
    ),
    (
        f"{ConnectError.NO_ANSWER}|no answer within",
        Diagnosis("NoAnswer", next_step="something accepts connections there and stays silent"),
    ),
    (
        ConnectError.UNIMPLEMENTED,
        Diagnosis("NotTemporal", "another gRPC server answers there", True, _NOT_TEMPORAL),
    ),
    (ConnectError.UNAVAILABLE, Diagnosis("Unavailable")),
    (ConnectError.RESOURCE_EXHAUSTED, Diagnosis("ResourceExhausted")),
    (
        ConnectError.CUT,
        Diagnosis(
            "ConnectionLost",
            "the connection was closed before it was ready",
            next_step="if the server speaks TLS, set `tls`",
        ),
    ),
)


def _diagnose_rpc(error: RPCError) -> Diagnosis:
    if error.status is RPCStatusCode.NOT_FOUND:
        return Diagnosis(
            "NamespaceNotFound",
            permanent=True,
            next_step="create the namespace, correct its name, or set"
            " temporal.retry_on: [namespace_not_found] if it is created late",
        )
    if error.status is RPCStatusCode.UNIMPLEMENTED:
        return Diagnosis(
            "NotTemporal",
            permanent=True,
            next_step=_NOT_TEMPORAL,
        )
    if error.status in {RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED}:
        kind = error.status.name.title().replace("_", "")
        return Diagnosis(kind, permanent=True, next_step=_WRONG_KEY)
    return Diagnosis(error.status.name.title().replace("_", ""))


async def look_closer(address: str, error: RuntimeError, *, tls: bool) -> PermanentError | None:
    """Whether a connection that was cut means TLS trouble: by a handshake, which settles it.

    Args:
        address: host:port.
        error: What `Client.connect` raised.
        tls: Whether the client spoke TLS.

    Returns:
        The error to report instead, or None where the failure may pass by itself.
    """
    if not re.search(ConnectError.CUT, str(error)):
        return None
    speaks_tls, wants_certificate = await _handshake(address)
    if speaks_tls and not tls:
        return PermanentError(
            f"the server at {address} speaks TLS, and this client does not",
            next_step="set `tls: {}` on the connection (TEMPORAL_TLS=true), with the certificates"
            " that the server asks for",
        )
    if wants_certificate:
        return PermanentError(
            f"the server at {address} asks for a client certificate that it trusts",
            next_step="set tls.client_cert_path and tls.client_key_path to a pair that it trusts",
        )
    return None


async def _handshake(address: str) -> tuple[bool, bool]:
    """Whether the server speaks TLS, and whether it then asks for a client's certificate."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only asked whether it is TLS; nothing is sent
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(_HANDSHAKE_TIMEOUT):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
    except (OSError, TimeoutError, ValueError):
        return False, False
    try:
        # With TLS 1.3 a missing certificate shows only after the client's side of the handshake.
        async with asyncio.timeout(_HANDSHAKE_TIMEOUT):
            await reader.read(1)
    except ssl.SSLError as error:
        return True, "CERTIFICATE" in str(error)
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return True, False
