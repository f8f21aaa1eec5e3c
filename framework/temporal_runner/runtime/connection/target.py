"""Where Temporal is: from settings, the environment and a TOML profile to one attempt to connect.

`Client.connect` succeeds against a server that has no such namespace, or is not serving yet. So an
attempt here is connect, ask for health, ask for the namespace.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
)
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode, TLSConfig

from temporal_runner.config.connections import TlsSettings
from temporal_runner.errors import TransientError, UsageError
from temporal_runner.plan import ConnectionPlan
from temporal_runner.plan.sdk_internals import (
    RUNTIME_THREADS,
    put_workflow_service,
    without_excerpts,
)
from temporal_runner.retry.connector import Connector, Diagnosis, RetryOptions
from temporal_runner.retry.port_watch import look_at
from temporal_runner.runtime.connection.converters import converter_arguments
from temporal_runner.runtime.connection.failed_tasks import FAILED_TASKS
from temporal_runner.runtime.connection.failures import diagnose, look_closer
from temporal_runner.runtime.connection.proxies import warn_of_proxy
from temporal_runner.runtime.connection.service import RequestIdService
from temporal_runner.values.redaction import remember

_COMPRESSION = {"none": GrpcCompression.NONE, "gzip": GrpcCompression.GZIP}
log = logging.getLogger("temporal_runner.temporal")

_NOT_SUPPORTED = ("TEMPORAL_CODEC_", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION")
"""What other SDKs and the CLI read and `temporalio.envconfig` drops without a word."""
_THREADS = "1"
"""Threads of the SDK's runtime. What they bring Python takes one at a time, so that a second one
mostly wakes and is put to sleep again: with one a start costs an eighth less CPU. Who sets the
variable decides otherwise."""
_PROBE_TIMEOUT = timedelta(seconds=3)
_BOTH_CALLS = 4.0
"""Seconds after which a probe is given up whatever the SDK does: its own time-out does not run
while it connects anew, and to a host that is gone without a word (a container that was killed, a
network that is cut) that takes more than a minute."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, with everything that `Client.connect` takes.

    Attributes:
        address: host:port.
        namespace: The namespace.
        arguments: The other arguments of `Client.connect`.
        retry_on: Failures that are waited out though they are permanent by default:
            `namespace_not_found`, `permission_denied`.
    """

    address: str
    namespace: str
    arguments: Mapping[str, Any] = field(repr=False)
    retry_on: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"Temporal at {self.address} (namespace {self.namespace})"

    def diagnose(self, error: Exception) -> Diagnosis:
        """What a failed attempt means for this target."""
        diagnosis = diagnose(error)
        if diagnosis.kind in {"NamespaceNotFound"} and "namespace_not_found" in self.retry_on:
            return Diagnosis(diagnosis.kind)
        if diagnosis.kind in {"Unauthenticated", "PermissionDenied"} and (
            "permission_denied" in self.retry_on
        ):
            return Diagnosis(diagnosis.kind)
        return diagnosis

    def connector(self, retry: RetryOptions, log: logging.Logger) -> Connector:
        """What calls `connect` until it succeeds; between two attempts it looks at the port."""
        look = look_at(self.address)
        return Connector(str(self), retry, diagnose=self.diagnose, log=log, look=look)

    async def connect(self) -> Client:
        """One attempt: connect, ask for health, ask for the namespace."""
        try:
            client = await Client.connect(
                self.address, namespace=self.namespace, runtime=quiet_runtime(), **self.arguments
            )
        except RuntimeError as error:
            tls = bool(self.arguments.get("tls"))
            if found := await look_closer(self.address, error, tls=tls):
                raise found from error
            raise
        put_workflow_service(client, RequestIdService(client.service_client))
        await check_usable(client)
        return client


async def check_usable(client: Client) -> None:
    """Ask the server for its health and for the namespace.

    Raises:
        TransientError: It is not serving, or does not answer in time.
        RPCError: It does not answer, or the namespace cannot be used.
    """
    try:
        async with asyncio.timeout(_BOTH_CALLS):
            await _check_usable(client)
    except TimeoutError:
        raise TransientError(f"no answer within {_BOTH_CALLS:g}s") from None


async def _check_usable(client: Client) -> None:
    try:
        if not await client.service_client.check_health(timeout=_PROBE_TIMEOUT):
            raise TransientError("the server answers that it is not serving")
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:  # some gateways pass no health calls
            raise
    await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace), timeout=_PROBE_TIMEOUT
    )


def make_target(plan: ConnectionPlan) -> Target:
    """Where a connection goes, with the environment and the TOML profile below its settings.

    Raises:
        UsageError: The profile or a certificate's file cannot be read.
    """
    settings = plan.settings
    own_cluster = plan.name != "" and (settings.address or settings.profile)
    profile = load_profile(settings.profile, settings.config_file, ignore_env=bool(own_cluster))
    arguments: dict[str, Any] = {
        **converter_arguments(plan),
        "interceptors": list(plan.interceptors),
        "grpc_compression": _COMPRESSION[settings.grpc_compression],
        **profile_arguments(profile),
    }
    if settings.identity:
        arguments["identity"] = settings.identity
    if settings.grpc_meta:
        own = {key: value.reveal() for key, value in settings.grpc_meta.items()}
        arguments["rpc_metadata"] = {**arguments.get("rpc_metadata", {}), **own}
    if settings.api_key:
        arguments["api_key"] = settings.api_key.reveal()
        arguments.setdefault("tls", True)
    if settings.tls is not None:
        arguments["tls"] = _tls(settings.tls)
    for secret in (arguments.get("api_key"), *arguments.get("rpc_metadata", {}).values()):
        if isinstance(secret, str):  # the profile's, too
            remember(secret)
    address = settings.address or profile.address or "localhost:7233"
    warn_of_proxy(address, tls=bool(arguments.get("tls") or arguments.get("api_key")))
    return Target(
        address,
        settings.namespace or profile.namespace or "default",
        arguments,
        frozenset(settings.retry_on),
    )


def profile_arguments(profile: ClientConfigProfile) -> dict[str, Any]:
    """What a profile says of how to connect, as arguments of `Client.connect`."""
    config = dict(profile.to_client_connect_config())
    return {key: config[key] for key in ("api_key", "tls", "rpc_metadata") if key in config}


def load_profile(
    name: str | None, config_file: Path | None, *, ignore_env: bool
) -> ClientConfigProfile:
    """A profile of the TOML file with the TEMPORAL_* variables over it.

    Args:
        name: The profile; None is `default` or what TEMPORAL_PROFILE says.
        config_file: The file; None is its usual place.
        ignore_env: Take nothing from the environment, and no file that no profile is named of.

    Raises:
        UsageError: The file cannot be read, or has no such profile.
    """
    if ignore_env and name is None:
        return ClientConfigProfile()
    for variable in sorted(os.environ) if not ignore_env else ():
        if variable.startswith(_NOT_SUPPORTED):
            log.warning("%s is set, which Temporal's Python SDK does not support", variable)
    try:
        return ClientConfigProfile.load(
            name,
            config_source=config_file,
            disable_env=ignore_env,
        )
    # The SDK's Rust side raises RuntimeError for a bad file and for an unknown profile.
    except (RuntimeError, ValueError, OSError) as error:
        where = f" (profile {name!r})" if name else ""
        what = f"Temporal's client configuration{where}"
        raise UsageError(f"{what}: {without_excerpts(error)}") from None


def _tls(settings: TlsSettings) -> TLSConfig | bool:
    if settings.disabled:
        return False

    def pem(path: Path | None, text: str | None) -> bytes | None:
        if path is None:
            return text.encode() if text else None
        try:
            return path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the certificate {path}: {error.strerror}") from error

    key = settings.client_key_data.reveal() if settings.client_key_data else None
    return TLSConfig(
        domain=settings.server_name,
        server_root_ca_cert=pem(settings.server_ca_cert_path, settings.server_ca_cert_data),
        client_cert=pem(settings.client_cert_path, settings.client_cert_data),
        client_private_key=pem(settings.client_key_path, key),
    )


_CORE_SAYS = "ERROR,temporalio_sdk_core=WARN"
_runtime: Runtime | None = None
"""Of the process, since the SDK's is: clients of two runtimes would have threads of their own each,
and code outside the runner connects too (`connect_to_temporal_with_retry`)."""


def quiet_runtime() -> Runtime:
    """The SDK's runtime, one a process, its own log lines sent through Python's logging.

    While a server is down the core's client repeats itself many times a second; the runner says the
    same once an attempt. Its workers' warnings are the only word of tasks that fail for ever.
    """
    global _runtime
    if _runtime is None:
        with _in_environment(RUNTIME_THREADS, _THREADS):
            _runtime = _make_runtime()
    return _runtime


def _make_runtime() -> Runtime:
    core = logging.getLogger("temporal_runner.sdk_core")
    core.addFilter(FAILED_TASKS)
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                _CORE_SAYS,
                forwarding=LogForwardingConfig(logger=core),
            )
        )
    )


@contextmanager
def _in_environment(name: str, value: str) -> Iterator[None]:
    """With a variable set, where nobody has; not for the processes that are started later."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
