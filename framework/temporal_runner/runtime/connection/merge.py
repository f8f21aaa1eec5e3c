"""Lays a connection's settings over its profile and environment: one model, by one set of rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from temporalio.envconfig import ClientConfigTLS
from temporalio.service import TLSConfig

from temporal_runner.config.connections import ConnectionSettings, TlsSettings
from temporal_runner.config.fields import Address
from temporal_runner.errors import UsageError
from temporal_runner.runtime.connection.credentials import Credentials, Source, TlsSources
from temporal_runner.runtime.connection.profile import Profile

_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)


def checked_address(address: str, origin: str) -> str:
    """An address by the rule of the config, wherever it comes from.

    Args:
        address: host:port.
        origin: Where it stands, for the error.

    Raises:
        UsageError: It is none.
    """
    try:
        return _ADDRESS.validate_python(address)
    except ValidationError as error:
        raise UsageError(f"{origin}: {error.errors()[0]['msg']}") from None


def merged(settings: ConnectionSettings, profile: Profile, prefix: str) -> Credentials:
    """What a connection presents and trusts: its settings, and where they say nothing its profile.

    Args:
        settings: The connection's own.
        profile: What lies below.
        prefix: What stands before their names in errors.
    """
    below = from_profile(profile)
    metadata = dict(below.metadata)
    for key, value in settings.grpc_meta.items():
        metadata[key] = Source(f"{prefix}grpc_meta.{key}", value)
    tls, api_key = below.tls, below.api_key
    if settings.api_key is not None:
        api_key = Source(f"{prefix}api_key", settings.api_key)
        tls = True if tls is None else tls
    if settings.tls is not None:
        tls = _over(settings.tls, _sources(profile), prefix)
    return Credentials(tls, api_key, metadata)


def from_profile(profile: Profile) -> Credentials:
    """What a profile alone says."""
    values = profile.values
    tls: TlsSources | bool | None = None
    if values.tls is not None:
        tls = False if values.tls.disabled else _sources(profile)
    elif values.api_key is not None:
        tls = True
    return Credentials(
        tls,
        None if values.api_key is None else Source(profile.origin("api_key"), values.api_key),
        {
            key: Source(profile.origin(f"grpc_meta.{key}"), value)
            for key, value in values.grpc_meta.items()
        },
    )


def taken_from(arguments: dict[str, Any], below: Credentials) -> Credentials:
    """Take the credentials from the arguments of `Client.connect`, and the rest from below.

    Args:
        arguments: Those of a caller; what is taken is no longer among them.
        below: What counts where the arguments say nothing.
    """
    credentials = below
    if "tls" in arguments:
        tls = arguments.pop("tls")
        given = TlsSources.given(tls) if isinstance(tls, TLSConfig) else tls
        credentials = replace(credentials, tls=given)
    if "api_key" in arguments:
        key = arguments.pop("api_key")
        source = None if key is None else Source("api_key", key)
        credentials = replace(credentials, api_key=source)
    return credentials


def _sources(profile: Profile) -> TlsSources:
    tls = profile.values.tls or ClientConfigTLS()

    def source(name: str, value: Path | str | bytes | None) -> Source | None:
        return None if value is None else Source(profile.origin(f"tls.{name}"), value)

    return TlsSources(
        tls.server_name,
        source("server_ca_cert", tls.server_root_ca_cert),
        source("client_cert", tls.client_cert),
        source("client_key", tls.client_private_key),
    )


def _over(settings: TlsSettings, below: TlsSources, prefix: str) -> TlsSources | bool:
    if settings.disabled:
        return False

    def source(name: str) -> Source | None:
        for form in ("path", "data"):
            value = getattr(settings, f"{name}_{form}")
            if value is not None:
                return Source(f"{prefix}tls.{name}_{form}", value)
        return None

    # A pair is one thing: a certificate of the settings and a key of the environment are none.
    own_pair = source("client_cert") or source("client_key")
    return TlsSources(
        settings.server_name or below.server_name,
        source("server_ca_cert") or below.server_ca,
        source("client_cert") if own_pair else below.client_cert,
        source("client_key") if own_pair else below.client_key,
    )
