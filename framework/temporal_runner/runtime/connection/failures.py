"""What a failed attempt to reach Temporal means, told by its text.

`Client.connect` raises a plain RuntimeError without a status code, so the text is all there is.
"""

from __future__ import annotations

import re
from dataclasses import replace

from temporalio.service import RPCError, RPCStatusCode

from temporal_runner.errors import PermanentError, TransientError
from temporal_runner.plan.sdk_internals import ConnectError
from temporal_runner.retry.connector import Diagnosis
from temporal_runner.runtime.connection.tls_failures import diagnose_tls


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
    diagnosis = _by_text(str(error))
    if diagnosis is None:
        return Diagnosis(type(error).__name__)
    if isinstance(error, TransientError):  # whoever raised it knows more than its text
        return replace(diagnosis, permanent=False, tries=None)
    return diagnosis


def _by_text(text: str) -> Diagnosis | None:
    if found := diagnose_tls(text):
        return found
    if headers := re.search(ConnectError.INVALID_HEADERS, text):
        return Diagnosis(
            "InvalidMetadata",
            headers[1],
            permanent=True,
            next_step="correct grpc_meta (TEMPORAL_GRPC_META_…): a key has letters, digits, - _ .,"
            " a value is one line, and what ends in -bin cannot be given",
        )
    for pattern, diagnosis in _BY_TEXT:
        if re.search(pattern, text):
            return diagnosis
    return None


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
        ConnectError.UNAUTHENTICATED,
        Diagnosis("Unauthenticated", permanent=True, next_step=_WRONG_KEY),
    ),
    (
        ConnectError.PERMISSION_DENIED,
        Diagnosis("PermissionDenied", permanent=True, next_step=_WRONG_KEY),
    ),
    (
        ConnectError.INVALID_URI,
        Diagnosis(
            "InvalidOptions",
            "the address or tls.server_name is none",
            permanent=True,
            next_step="correct the address (host:port) and tls.server_name (a host's name)",
        ),
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
