"""TLS set up wrongly, each way made for real: the reason itself, and a step that fits it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from temporalio.service import TLSConfig

from temporal_runner import GaveUp, PermanentError, connect_to_temporal_with_retry
from tests.real.certificates import Issuer, Pair, pem_of, server
from tests.real.impostors import cutting, forward_to, serving, silent
from tests.support import TemporalServer, free_port

HOST = "127.0.0.1"
WE = Issuer()
OTHERS = Issuer()
GOOD = WE.issue(HOST)
KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT = WE.issue("client", key=KEY)


async def failure(
    address: str, tls: TLSConfig, attempts: int = 3, **more: object
) -> GaveUp | PermanentError:
    """How some attempts end."""
    try:
        await connect_to_temporal_with_retry(
            address,
            tls=tls,
            max_attempts=attempts,
            base_delay=0.01,
            **more,  # type: ignore[arg-type]
        )
    except (GaveUp, PermanentError) as error:
        return error
    raise AssertionError("it connected")


def check(error: GaveUp | PermanentError, wanted: type, reason: str, step: str) -> None:
    assert type(error) is wanted, error
    text, _, next_step = str(error).partition("\n  next step: ")
    assert reason in text
    assert step in next_step
    if "server_ca_cert_path" not in step:
        assert "set tls.server_ca_cert_path" not in next_step, "it is set, and is not the matter"


class Wrong(NamedTuple):
    """A server's certificate, and what is told of it."""

    pair: Pair
    reason: str
    step: str
    wanted: type = PermanentError


SERVERS = {
    "expired": Wrong(WE.issue(HOST, valid=(-3, -1)), "expired at 20", "renew the server's"),
    "not yet valid": Wrong(
        WE.issue(HOST, valid=(1, 3)), "this machine's clock says 20", "clock", GaveUp
    ),
    "no name for an IP": Wrong(
        WE.issue("t.example"), "is for t.example", "server_name to the name"
    ),
    "another IP": Wrong(WE.issue("10.0.0.1"), "is for 10.0.0.1", "server_name"),
    "no name at all": Wrong(WE.issue(), "no name at all", "subject alternative name"),
    "an authority's": Wrong(WE.issue(HOST, authority=True), "CaUsedAsEndEntity", "CA:FALSE"),
    "the authority's own": Wrong((WE.pem, pem_of(WE.key)), "CaUsedAsEndEntity", "CA:FALSE"),
    "for clients": Wrong(WE.issue(HOST, for_clients=True), "InvalidPurpose", "serverAuth"),
    "another authority's": Wrong(
        OTHERS.issue(HOST), "not trusted (BadSignature)", "server_ca_cert_path"
    ),
}


@pytest.mark.parametrize("wrong", SERVERS.values(), ids=SERVERS)
async def test_the_servers_certificate(wrong: Wrong) -> None:
    """What only the server's side can mend is told as such; a clock is waited for."""
    async with serving(silent, server(wrong.pair)) as address:
        error = await failure(address, TLSConfig(server_root_ca_cert=WE.pem))
    check(error, wrong.wanted, wrong.reason, wrong.step)


BUNDLES = {
    "DER": (WE.der, "it is DER", "openssl x509 -inform der"),
    "empty": (b"", "it is empty", "PEM"),
    "blank": (b" \n", "it is empty", "PEM"),
    "text": (b"hello", "it is no PEM", "PEM"),
    "UTF-16": (WE.pem.decode().encode("utf-16"), "it is UTF-16", "UTF-8"),
    "a key": (GOOD[1], "holds a private key", "exchange"),
    "cut short": (WE.pem[:300], "cut short", "whole"),
    "on one line": (WE.pem.replace(b"\n", b" "), "line breaks are lost", "file"),
    "escaped": (WE.pem.replace(b"\n", b"\\n"), "line breaks are lost", "file"),
    "indented": (WE.pem.replace(b"\n", b"\n  "), "indented", "start of its own line"),
    "run together": (WE.pem.strip() + WE.pem, "cut short or indented", "own line"),
    "broken": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "is broken",
        "copy it anew",
    ),
}


@pytest.mark.parametrize(("bundle", "reason", "step"), BUNDLES.values(), ids=BUNDLES)
async def test_the_authoritys_file(bundle: bytes, reason: str, step: str) -> None:
    """Told by what it holds, before anything is sent."""
    error = await failure(f"{HOST}:{free_port()}", TLSConfig(server_root_ca_cert=bundle))
    check(error, PermanentError, f"tls.server_root_ca_cert: {reason}"[:24], step)
    assert reason in str(error)


TAKEN = {
    "with a byte order mark": b"\xef\xbb\xbf" + WE.pem,
    "with CRLF": WE.pem.replace(b"\n", b"\r\n"),
    "with words around it": b"Subject: we\n" + WE.pem + b"\n# end",
    "of many": OTHERS.pem + WE.pem,
    "without a last line end": WE.pem.strip(),
}


@pytest.mark.parametrize("bundle", TAKEN.values(), ids=TAKEN)
async def test_an_authoritys_file_that_is_good(
    temporal_server: TemporalServer, bundle: bytes
) -> None:
    """What can be read is taken."""
    async with serving(forward_to(temporal_server.address), server(GOOD)) as address:
        tls = TLSConfig(server_root_ca_cert=bundle)
        await connect_to_temporal_with_retry(address, tls=tls, max_attempts=1)


CERT, PLAIN_KEY = CLIENT
PAIRS = {
    "encrypted": (CERT, pem_of(KEY, b"pw"), "the private key is encrypted", "openssl pkey"),
    "encrypted, old form": (
        CERT,
        pem_of(KEY, b"pw", traditional=True),
        "the private key is encrypted",
        "openssl pkey",
    ),
    "of another": (CERT, GOOD[1], "they are no pair", "client_key"),
    "no key": (CERT, b"no", "tls.client_private_key: it is no PEM", "PEM"),
    "empty key": (CERT, b"", "tls.client_private_key: it is empty", "PEM"),
    "no certificate": (b"no", PLAIN_KEY, "tls.client_cert: it is no PEM", "PEM"),
    "exchanged": (PLAIN_KEY, CERT, "tls.client_cert: it holds a private key", "exchange"),
    "certificate twice": (CERT, CERT, "tls.client_private_key: it holds a cert", "exchange"),
    "DER": (ssl.PEM_cert_to_DER_cert(CERT.decode()), PLAIN_KEY, "it is DER", "openssl x509"),
    "certificate alone": (CERT, None, "set without the client's key", "both"),
    "key alone": (None, PLAIN_KEY, "set without the client's certificate", "both"),
}


@pytest.mark.parametrize(("certificate", "key", "reason", "step"), PAIRS.values(), ids=PAIRS)
async def test_the_clients_pair(
    certificate: bytes | None, key: bytes | None, reason: str, step: str
) -> None:
    """Told by what it holds; nothing needs to answer for it."""
    tls = TLSConfig(server_root_ca_cert=WE.pem, client_cert=certificate, client_private_key=key)
    error = await failure(f"{HOST}:{free_port()}", tls)
    check(error, PermanentError, reason, step)


REFUSED = {
    "none": (None, "", "client_cert_path"),
    "expired": (WE.issue("c", valid=(-3, -1)), "refuses the client's", "valid"),
    "another authority's": (OTHERS.issue("c"), "refuses the client's", "trust"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("pair", "reason", "step"), REFUSED.values(), ids=REFUSED)
async def test_a_pair_that_the_server_refuses(
    version: ssl.TLSVersion, pair: Pair | None, reason: str, step: str
) -> None:
    """By its alert, with TLS 1.2 and 1.3."""
    context = server(GOOD, trusts=WE.pem)
    context.maximum_version = version
    certificate, key = pair or (None, None)
    tls = TLSConfig(server_root_ca_cert=WE.pem, client_cert=certificate, client_private_key=key)
    with cutting(context) as address:
        # The reset of a connection that is closed may overtake its alert: then it is tried again.
        check(await failure(address, tls, attempts=20), PermanentError, reason, step)


def _old(context: ssl.SSLContext) -> None:
    context.set_ciphers("AES128-SHA:AES256-SHA")
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def _knows_no_name(context: ssl.SSLContext) -> None:
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def _web(context: ssl.SSLContext) -> None:
    context.set_alpn_protocols(["http/1.1"])


SESSIONS: dict[str, tuple[Callable[[ssl.SSLContext], None], str, str, type]] = {
    "no common cipher": (_old, "HandshakeFailure", "cipher", PermanentError),
    "a name it does not serve": (_knows_no_name, "UnrecognisedName", "tls.server_name", GaveUp),
    "no HTTP/2": (lambda _: None, "no HTTP/2", "check the address", PermanentError),
    "HTTP/1.1 alone": (_web, "no HTTP/2", "check the address", PermanentError),
}


@pytest.mark.parametrize(("change", "reason", "step", "wanted"), SESSIONS.values(), ids=SESSIONS)
async def test_the_session(
    change: Callable[[ssl.SSLContext], None], reason: str, step: str, wanted: type
) -> None:
    """What both sides cannot agree on."""
    context = server(GOOD, http2=reason != "no HTTP/2")
    change(context)
    with cutting(context) as address:
        error = await failure(
            address,
            TLSConfig(server_root_ca_cert=WE.pem, domain="localhost")
            if reason == "UnrecognisedName"
            else TLSConfig(server_root_ca_cert=WE.pem),
        )
    check(error, wanted, reason, step)


@pytest.mark.parametrize("metadata", [{"a b": "x"}, {"": "x"}, {":path": "x"}, {"a": "x\ny"}])
async def test_metadata_that_cannot_be_sent(
    temporal_server: TemporalServer, metadata: dict[str, str]
) -> None:
    """A mistake of ours, which the SDK sees when something answers."""
    with pytest.raises(PermanentError, match="Invalid ASCII header") as caught:
        await connect_to_temporal_with_retry(
            temporal_server.address, rpc_metadata=metadata, max_attempts=3, base_delay=0.01
        )
    assert "grpc_meta" in caught.value.next_step


async def test_a_server_name_that_is_none() -> None:
    """A mistake of ours, too."""
    error = await failure(
        f"{HOST}:{free_port()}", TLSConfig(server_root_ca_cert=WE.pem, domain="a b")
    )
    check(error, PermanentError, "tls.server_name", "tls.server_name")
