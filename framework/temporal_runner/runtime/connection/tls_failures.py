"""What a TLS failure of the SDK means: the reason itself, and the step that fits it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from temporal_runner.plan.sdk_internals import ConnectError
from temporal_runner.retry.connector import Diagnosis

_OF_THE_CERTIFICATE = {
    "AccessDenied",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateUnknown",
    "DecryptError",
    "NoCertificate",
    "UnknownCA",
    "UnsupportedCertificate",
}
_PAIR = "set tls.client_cert_path and tls.client_key_path to a pair that it trusts"
_NO_GRPC = (
    "something else than Temporal answers there, or a proxy that passes no HTTP/2: check the"
    " address, and what stands between"
)
_LOCAL = (
    (
        ConnectError.NO_PAIR,
        Diagnosis(
            "InvalidKey",
            "the client's certificate and its key: they are no pair",
            permanent=True,
            next_step="give tls.client_key_* the key that tls.client_cert_* was made for; of a"
            " chain the client's own certificate stands first",
        ),
    ),
    (
        ConnectError.KEY_UNREADABLE,
        Diagnosis(
            "InvalidKey",
            "the client's key cannot be read",
            permanent=True,
            next_step="give tls.client_key_* as PEM (PKCS8), without a password",
        ),
    ),
    (
        ConnectError.CERTIFICATE_UNREADABLE,
        Diagnosis(
            "InvalidCertificate",
            "a certificate that the connection names cannot be read",
            permanent=True,
            next_step="give tls.server_ca_cert_* and tls.client_cert_* as PEM, whole",
        ),
    ),
    (
        ConnectError.NO_HTTP2,
        Diagnosis(
            "NotGrpc",
            "what answers there speaks TLS and no HTTP/2 (H2NotNegotiated)",
            tries=3,
            next_step=_NO_GRPC,
        ),
    ),
    (
        ConnectError.CUT_IN_HANDSHAKE,
        Diagnosis(
            "ConnectionLost",
            "the connection was closed during the TLS handshake",
            next_step="is Temporal up behind that port? It may also ask for a client certificate"
            " or another tls.server_name",
        ),
    ),
)


def diagnose_tls(text: str) -> Diagnosis | None:
    """What the text of a failed attempt says of TLS; None where it says nothing."""
    if alert := re.search(ConnectError.ALERT, text):
        return _alert(alert[1])
    for pattern, diagnosis in _LOCAL:
        if re.search(pattern, text):
            return diagnosis
    if found := re.search(ConnectError.SERVER_CERTIFICATE, text):
        return _server_certificate(text, found[1] or found[0])
    return None


def _alert(alert: str) -> Diagnosis:
    if alert in _OF_THE_CERTIFICATE:
        return Diagnosis(
            "TlsRefused",
            f"the server refuses the client's certificate ({alert})",
            permanent=True,
            next_step=f"the server refuses the client's certificate: {_PAIR}, and that is valid"
            " now by the server's clock",
        )
    match alert:
        case "HandshakeFailure":
            return Diagnosis(
                "TlsRefused",
                "the server refuses the TLS handshake (HandshakeFailure)",
                permanent=True,
                next_step=f"if it asks for a client certificate, {_PAIR}; else it offers no cipher"
                " of TLS 1.2 or 1.3 that this client takes",
            )
        case "ProtocolVersion" | "InsufficientSecurity":
            return Diagnosis(
                "TlsRefused",
                f"the server speaks no TLS that this client takes ({alert})",
                permanent=True,
                next_step="have the server offer TLS 1.2 or 1.3",
            )
        case "UnrecognisedName":
            return Diagnosis(
                "TlsRefused",
                "the server knows no host of the name that was asked for (UnrecognisedName)",
                next_step="set tls.server_name to a name that it serves",
            )
        case "NoApplicationProtocol":
            return Diagnosis(
                "NotGrpc",
                "what answers there speaks TLS and no HTTP/2 (NoApplicationProtocol)",
                tries=3,
                next_step=_NO_GRPC,
            )
    return Diagnosis(
        "TlsRefused", f"the server ended TLS ({alert})", next_step="the server's own log says why"
    )


def _server_certificate(text: str, reason: str) -> Diagnosis:
    kind = "InvalidCertificate"
    if early := re.search(ConnectError.NOT_VALID_YET, text):
        return Diagnosis(
            "CertificateNotValidYet",
            f"the server's certificate is valid from {_time(early[2])} on, and this machine's clock"
            f" says {_time(early[1])}",
            next_step="set this machine's clock, or wait until the certificate is valid",
        )
    if late := re.search(ConnectError.EXPIRED, text):
        return Diagnosis(
            kind,
            f"the server's certificate expired at {_time(late[2])}; this machine's clock says"
            f" {_time(late[1])}",
            permanent=True,
            next_step="renew the server's certificate, or set this machine's clock",
        )
    if other := re.search(ConnectError.OTHER_NAME, text):
        names = ", ".join(re.findall(r"\(\\*\"?([^()\\\"]+)", other[1]))
        step = (
            f"set tls.server_name to the name in it ({names}), or have it issued for this one"
            if names
            else "have it issued with a subject alternative name, which tls.server_name can name"
        )
        return Diagnosis(
            kind,
            f"the server's certificate is for {names or 'no name at all'}, and not for the name or"
            " IP address of the connection",
            permanent=True,
            next_step=step,
        )
    if re.search(ConnectError.AUTHORITY_AS_SERVER, text):
        return Diagnosis(
            kind,
            "the server shows an authority's certificate as its own (CaUsedAsEndEntity)",
            permanent=True,
            next_step="give the server a certificate that is none of an authority (CA:FALSE), and"
            " keep the authority's for tls.server_ca_cert_path",
        )
    if re.search(ConnectError.NOT_FOR_SERVERS, text):
        return Diagnosis(
            kind,
            "the server's certificate is not one for servers (InvalidPurpose)",
            permanent=True,
            next_step="have it issued with the extended key usage serverAuth",
        )
    return Diagnosis(
        kind,
        f"the server's certificate is not trusted ({reason.strip('()')})",
        permanent=True,
        next_step="set tls.server_ca_cert_path to the authority that signed the server's"
        " certificate, and tls.server_name to the name in it",
    )


def _time(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
