"""What a connection presents and trusts: read from its files anew at each connect, and checked.

What a file holds by mistake is told by the file's content: the SDK says `PrivateKeyParseError`, or
takes a bundle that it cannot read for one without authorities and blames the server's certificate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.service import TLSConfig

from temporal_runner.errors import PermanentError
from temporal_runner.runtime.connection.pem import NotPem, certificates, private_key
from temporal_runner.values.files import read_bytes
from temporal_runner.values.redaction import remember
from temporal_runner.values.secrets import Secret

_LONGEST = 4 * 1024 * 1024
"""Bytes of a file of certificates; a system's whole bundle has a quarter of a megabyte."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a certificate, a key or a secret comes from.

    Attributes:
        name: Where a person finds it: an option, a variable, a key of a profile.
        value: The file, or what it is itself.
    """

    name: str
    value: Path | Secret | str | bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.value})" if isinstance(self.value, Path) else self.name

    def read(self) -> bytes:
        """What it is by now.

        Raises:
            PermanentError: It cannot be read.
        """
        try:
            match self.value:
                case Path():
                    return read_bytes(self.value, _LONGEST)
                case Secret():
                    return self.value.fresh().encode()
                case str():
                    return self.value.encode()
                case _:
                    return self.value
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PermanentError(
                f"{self}: it cannot be read: {reason}",
                next_step="correct the path, or what may read the file",
            ) from None


@dataclass(frozen=True, slots=True)
class TlsSources:
    """TLS options, with the certificates where they come from."""

    server_name: str | None = None
    server_ca: Source | None = None
    client_cert: Source | None = None
    client_key: Source | None = None
    verification_server_name: str | None = None

    def read(self) -> TLSConfig:
        """The options as the SDK takes them.

        Raises:
            PermanentError: A certificate or key cannot be read, or is none.
        """
        if (self.client_cert is None) != (self.client_key is None):
            given, absent = "certificate", "key"
            if self.client_cert is None:
                given, absent = absent, given
            raise PermanentError(
                f"{self.client_cert or self.client_key}: it is set without the client's {absent}",
                next_step=f"mutual TLS takes both: set the client's {absent} too, or remove its"
                f" {given}",
            )
        return TLSConfig(
            domain=self.server_name,
            server_root_ca_cert=_checked(self.server_ca, certificates),
            client_cert=_checked(self.client_cert, certificates),
            client_private_key=_checked(self.client_key, private_key),
            verification_server_name=self.verification_server_name,
        )

    @classmethod
    def given(cls, tls: TLSConfig) -> TlsSources:
        """Those of a caller who read the files itself."""

        def source(name: str, content: bytes | None) -> Source | None:
            return None if content is None else Source(f"tls.{name}", content)

        return cls(
            tls.domain,
            source("server_root_ca_cert", tls.server_root_ca_cert),
            source("client_cert", tls.client_cert),
            source("client_private_key", tls.client_private_key),
            tls.verification_server_name,
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that proves who we are, and who the server is.

    Attributes:
        tls: TLS options; True is TLS with the system's authorities, None leaves it to the SDK.
        api_key: An API key.
        metadata: gRPC metadata by key; may hold tokens.
    """

    tls: TlsSources | bool | None = None
    api_key: Source | None = None
    metadata: Mapping[str, Source] = field(default_factory=dict)

    def read(self) -> dict[str, Any]:
        """The arguments of `Client.connect`, from what the files hold by now.

        Raises:
            PermanentError: Something cannot be read, or can never be sent.
        """
        arguments: dict[str, Any] = {}
        if self.tls is not None:
            tls = self.tls
            arguments["tls"] = tls.read() if isinstance(tls, TlsSources) else tls
        if self.api_key is not None:
            arguments["api_key"] = _header(self.api_key)
        if self.metadata:
            arguments["rpc_metadata"] = {
                _key(key, source): _header(source) for key, source in self.metadata.items()
            }
        return arguments


def _checked(source: Source | None, check: Callable[[bytes], bytes]) -> bytes | None:
    if source is None:
        return None
    try:
        return check(source.read())
    except NotPem as error:
        raise PermanentError(f"{source}: {error}", next_step=error.next_step) from None


def _key(key: str, source: Source) -> str:
    if not re.fullmatch(r"[\w.-]+", key, re.ASCII) or key.lower().endswith("-bin"):
        raise PermanentError(
            f"{source}: that is no key of gRPC metadata that has a text",
            next_step="a key has letters, digits, - _ . and does not end in -bin",
        )
    return key


def _header(source: Source) -> str:
    """A value that is sent as a header; the SDK sends none where it cannot, without a word."""
    text = source.read().decode(errors="replace").strip()
    if not text:
        raise PermanentError(f"{source}: it is empty", next_step="set it, or remove it")
    if not text.isprintable() or not text.isascii():
        raise PermanentError(
            f"{source}: it holds a character that no header can carry, such as the end of a line",
            next_step="give it as one line of plain characters",
        )
    remember(text)
    return text
