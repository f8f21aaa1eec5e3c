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
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
)
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from temporal_runner.errors import PermanentError, TransientError, UsageError
from temporal_runner.plan import ConnectionPlan
from temporal_runner.plan.sdk_internals import RUNTIME_THREADS, put_workflow_service
from temporal_runner.retry.connector import Connector, Diagnosis, RetryOptions
from temporal_runner.retry.port_watch import look_at
from temporal_runner.runtime.connection.converters import converter_arguments
from temporal_runner.runtime.connection.credentials import Credentials
from temporal_runner.runtime.connection.failed_tasks import FAILED_TASKS
from temporal_runner.runtime.connection.failures import diagnose
from temporal_runner.runtime.connection.handshake import look_closer
from temporal_runner.runtime.connection.merge import checked_address, merged
from temporal_runner.runtime.connection.profile import Profile, load_profile
from temporal_runner.runtime.connection.proxies import warn_of_proxy
from temporal_runner.runtime.connection.service import RequestIdService

_COMPRESSION = {"none": GrpcCompression.NONE, "gzip": GrpcCompression.GZIP}
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
        arguments: The other arguments of `Client.connect`, less the credentials.
        credentials: What is read anew at each connect.
        retry_on: Failures that are waited out though they are permanent by default:
            `namespace_not_found`, `permission_denied`.
    """

    address: str
    namespace: str
    arguments: Mapping[str, Any] = field(repr=False)
    credentials: Credentials = field(default_factory=Credentials, repr=False)
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
        """One attempt: read the credentials, connect, ask for health, ask for the namespace."""
        try:
            arguments = {**self.credentials.read(), **self.arguments}
        except PermanentError as error:  # it was there when the target was made: it is replaced
            raise TransientError(str(error)) from None
        try:
            client = await Client.connect(
                self.address, namespace=self.namespace, runtime=quiet_runtime(), **arguments
            )
        except RuntimeError as error:
            if found := await look_closer(self.address, error, arguments):
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


def make_target(plan: ConnectionPlan, *, any_port: bool = False) -> Target:
    """Where a connection goes, with the environment and the TOML profile below its settings.

    Args:
        plan: The connection.
        any_port: Port 0 stands for one that is picked yet, for an embedded server.

    Raises:
        UsageError: A value cannot be used, wherever it comes from.
    """
    settings = plan.settings
    prefix = f"connection {plan.name}: " if plan.name else "temporal."
    own_cluster = plan.name != "" and (settings.address or settings.profile)
    profile = load_profile(
        settings.profile, settings.config_file, ignore_env=bool(own_cluster), prefix=prefix
    )
    arguments: dict[str, Any] = {
        **converter_arguments(plan),
        "interceptors": list(plan.interceptors),
        "grpc_compression": _COMPRESSION[settings.grpc_compression],
    }
    if settings.identity:
        arguments["identity"] = settings.identity
    credentials = merged(settings, profile, prefix)
    try:
        credentials.read()  # what can be known now is not told at the first connection
    except PermanentError as error:
        raise UsageError(str(error)) from None
    address = settings.address or profile_address(profile)
    if not any_port and int(address.rpartition(":")[2]) == 0:
        picked = " (dev_server picks one at `runner start`; name one to use it from elsewhere)"
        hint = picked if plan.dev_server else ""
        raise UsageError(f"{prefix}address: {address}: there is no port 0 to connect to{hint}")
    warn_of_proxy(address, tls=bool(credentials.tls or credentials.api_key))
    return Target(
        address,
        settings.namespace or profile.values.namespace or "default",
        arguments,
        credentials,
        frozenset(settings.retry_on),
    )


def profile_address(profile: Profile) -> str:
    """The address of a profile, by the rule of the config.

    Raises:
        UsageError: It is none.
    """
    if not profile.values.address:
        return "localhost:7233"
    return checked_address(profile.values.address, profile.origin("address"))


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
