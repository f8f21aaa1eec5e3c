"""All that the runner uses of Temporal's SDK and the SDK does not promise, in this one place.

It lies in `plan`, the lowest room that speaks to the SDK: what runs needs it, and so does what a
plan is made of. tests/plan/test_sdk_internals.py names the SDK's version where one of these breaks;
tests/real/test_connect.py makes each of the failures, whose texts are those of temporalio 1.35.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from temporalio import activity, workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.client import Client, WorkflowUpdateHandle
from temporalio.service import WorkflowService
from temporalio.worker import WorkflowRunner

from temporal_runner.values.wording import one_line

RUNTIME_THREADS = "TOKIO_WORKER_THREADS"
"""The variable that says how many threads the SDK's runtime works with; it has no option for it."""


_WORKFLOW = "__temporal_workflow_definition"
"""Where a class keeps the definition that `@workflow.defn` made."""


class ConnectError(StrEnum):
    """What `Client.connect` says in the RuntimeError that it raises for everything: patterns."""

    TLS_TO_PLAINTEXT = "InvalidContentType"
    SERVER_CERTIFICATE = (
        r"InvalidCertificate\((.*)\)|invalid peer cert|UnknownIssuer|NotValidForName"
    )
    NOT_VALID_YET = r"NotValidYetContext \{ time: UnixTime\((\d+)\), not_before: UnixTime\((\d+)\)"
    EXPIRED = r"ExpiredContext \{ time: UnixTime\((\d+)\), not_after: UnixTime\((\d+)\)"
    OTHER_NAME = r"NotValidForNameContext \{ expected: .*, presented: \[(.*?)\] \}"
    AUTHORITY_AS_SERVER = "CaUsedAsEndEntity"
    NOT_FOR_SERVERS = "InvalidPurpose"
    ALERT = r"(?:AlertReceived\(|received fatal alert: )(\w+)"
    NO_PAIR = "InconsistentKeys"
    KEY_UNREADABLE = "PrivateKeyParseError"
    CERTIFICATE_UNREADABLE = "CertificateParseError|NoCertificatesPresented"
    NO_HTTP2 = "H2NotNegotiated"
    CUT_IN_HANDSHAKE = "tls handshake eof"
    INVALID_HEADERS = r"Invalid headers: ([^\n]*)"
    INVALID_URI = "Invalid URI|InvalidUri"
    UNAUTHENTICATED = "Unauthenticated"
    PERMISSION_DENIED = "PermissionDenied"
    NOT_GRPC = "h2 protocol error|FRAME_SIZE_ERROR"
    REFUSED = "ConnectionRefused"
    NAME_NOT_FOUND = "dns error"
    NO_ANSWER = "Timeout expired"
    UNIMPLEMENTED = "code: Unimplemented"
    UNAVAILABLE = "Unavailable"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    CUT = "operation was canceled|BrokenPipe|transport error|ConnectionReset"
    """The server closes a connection that it does not understand, or it ends."""


def workflow_type(candidate: type) -> str | None:
    """The workflow type of a class, "" for a dynamic workflow, None where it is no workflow."""
    definition = workflow._Definition.from_class(candidate)
    if definition is None or definition.cls is not candidate:
        return None
    return definition.name or ""


def inherits_workflow(candidate: type) -> bool:
    """Whether a class has the definition of another class, which makes it no workflow."""
    return workflow_type(candidate) is None and hasattr(candidate, _WORKFLOW)


def is_copied_workflow(candidate: type) -> bool:
    """Whether a class was made of a workflow's by a decorator, such as a dataclass with slots."""
    return inherits_workflow(candidate) and _WORKFLOW in vars(candidate)


def activity_type(candidate: Any) -> str | None:
    """The activity type of a function, "" for a dynamic one, None where it is no activity."""
    definition = activity._Definition.from_callable(candidate)
    return None if definition is None else definition.name or ""


def is_plain_function(candidate: Any) -> bool:
    """Whether an activity is no coroutine function, and runs in an executor."""
    definition = activity._Definition.from_callable(candidate)
    return definition is not None and not definition.is_async


def types_of_activity(candidate: Any) -> list[Any]:
    """The types that an activity takes and returns, as far as it says."""
    definition = activity._Definition.from_callable(candidate)
    return [] if definition is None else [*(definition.arg_types or ()), definition.ret_type]


def types_of_workflow(candidate: type) -> list[Any]:
    """The types that a workflow, its signals, queries and updates take and return."""
    definition = workflow._Definition.from_class(candidate)
    if definition is None:
        return []
    types = [*(definition.arg_types or ()), definition.ret_type]
    for handlers in (definition.signals, definition.queries, definition.updates):
        for handler in handlers.values():
            types += [*(handler.arg_types or ()), getattr(handler, "ret_type", None)]
    return types


def has_versioning_behavior(candidate: type) -> bool:
    """Whether a workflow says itself what a new version of its worker means to it."""
    definition = workflow._Definition.from_class(candidate)
    return definition is not None and bool(
        definition.versioning_behavior or definition.dynamic_config_fn
    )


def prepare_workflow(candidate: type, runner: WorkflowRunner) -> None:
    """Load a workflow as a worker does when it starts; raises what that raises."""
    definition = workflow._Definition.from_class(candidate)

    async def prepare() -> None:  # an instance wants an event loop around it
        if definition is not None and definition.sandboxed:
            runner.prepare_workflow(definition)

    asyncio.run(prepare())


def eviction_of(activation: WorkflowActivation) -> tuple[str, str] | None:
    """Why a workflow loses its place in a worker's cache, by name and in words; None: it does not.

    A task that the server refuses to take shows itself in nothing else.
    """
    for job in activation.jobs:
        if job.HasField("remove_from_cache"):
            removal = job.remove_from_cache
            return removal.EvictionReason.Name(removal.reason), removal.message
    return None


@dataclass(frozen=True, slots=True)
class CoreLine:
    """A line of the SDK's core: what it says, and of what."""

    message: str
    run_id: str = ""
    error: str = ""


def core_line(record: logging.LogRecord) -> CoreLine:
    """What a forwarded log record is of."""
    line = getattr(record, "temporal_log", None)
    fields = line.fields if line is not None else {}
    texts = {key: str(fields.get(key, "")) for key in ("run_id", "error")}
    return CoreLine(line.message if line is not None else "", **texts)


def is_refused(handle: WorkflowUpdateHandle[Any]) -> bool:
    """Whether the answer to an update holds its failure: no call more is needed to know."""
    outcome = handle._known_outcome
    return outcome is not None and outcome.HasField("failure")


def put_workflow_service(client: Client, service: WorkflowService) -> None:
    """Have a client make its calls through this service instead of the one that it made itself."""
    client.service_client.workflow_service = service


def hash_code() -> None:
    """Hash all code that is loaded, which is a worker's build ID where none is set.

    The SDK remembers it. Where it has no such function any more, a worker takes the time itself.
    """
    with contextlib.suppress(ImportError):
        from temporalio.worker._worker import load_default_build_id

        load_default_build_id()


def without_excerpts(error: Exception) -> str:
    """Why a profile cannot be read, on one line, without what the reader shows of the file."""
    text = re.sub(r"(?m)^ *\d* *\|.*\n?", "", str(error))
    return re.sub(r"string \"[^\n]*\"", "a string", one_line(text))
