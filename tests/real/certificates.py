"""Certificates as people get them wrong, made for real."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey
Pair = tuple[bytes, bytes]
DAY = timedelta(days=1)


def pem_of(key: Key, password: bytes = b"", *, traditional: bool = False) -> bytes:
    """A key's text, encrypted where there is a password."""
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL if traditional else kind,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


class Issuer:
    """An authority that issues what it is asked for."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
        certificate = self._builder(self.key, -30, 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        made = certificate.sign(self.key, hashes.SHA256())
        self.pem = made.public_bytes(serialization.Encoding.PEM)
        self.der = made.public_bytes(serialization.Encoding.DER)

    def _builder(self, key: Key, first: int, last: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first * DAY)
            .not_valid_after(now + last * DAY)
        )

    def issue(
        self,
        *names: str,
        valid: tuple[int, int] = (-1, 1),
        authority: bool = False,
        for_clients: bool = False,
        key: Key | None = None,
    ) -> Pair:
        """A certificate and its key.

        Args:
            names: DNS names and IP addresses.
            valid: The first and last day, counted from today.
            authority: Mark it as an authority's.
            for_clients: Let it be used by clients alone.
            key: Its key, where the caller has one.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(key, *valid)
        if authority:
            constraints = x509.BasicConstraints(ca=True, path_length=None)
            builder = builder.add_extension(constraints, critical=True)
        if for_clients:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(usage, critical=False)
        if names:
            holders = [_general(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(holders), critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM), pem_of(key)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def server(pair: Pair, *, trusts: bytes = b"", http2: bool = True) -> ssl.SSLContext:
    """A server's TLS with this pair; it asks for a certificate of whom it trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_bytes(pair[0] + pair[1])
        context.load_cert_chain(file)
    if http2:
        context.set_alpn_protocols(["h2"])
    if trusts:
        context.load_verify_locations(cadata=trusts.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context
