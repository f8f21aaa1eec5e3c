#!/usr/bin/env python3
"""Wait until Temporal can be used, then end or run a command; one file on `temporalio` alone.

    python wait_for_temporal.py --timeout 90s -- python worker.py     before a container's command
    python wait_for_temporal.py --health-check                        one attempt, for a HEALTHCHECK

Address, namespace, TLS and API key come from TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the other
variables (or the TOML profile) that Temporal's own tools read. Every attempt is a line of JSON on
stderr. Exit codes are those of `runner wait`: 0 Temporal is ready (or what the command returned);
1 the time is over, or waiting cannot help; 2 the command line or the profile is wrong;
143 it was stopped by SIGTERM.

Why, and each option: docs/how-to/connection-retry.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError, RPCStatusCode

READY, NOT_READY, USAGE = 0, 1, 2
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CALL = timedelta(seconds=3)
_LAST_ATTEMPT = 1.0
"""Seconds before the time-out at which one last attempt is made, however long the delay was."""
_FOR_THE_SDKS_THREADS = 0.05
"""Seconds between the last call and the end of the loop: the SDK's threads may still hold callbacks
then, and Python aborts at exit (PyGILState_Release) in some of a hundred runs."""

# `Client.connect` raises a RuntimeError without a status, so its text is all there is to tell one
# failure from another. What is not listed is tried again.
_BY_TEXT = (
    ("ConnectionRefused", "connection_refused", "is Temporal running there?"),
    ("dns error", "name_not_found", "check the host's name, and that its service is up"),
    ("Timeout expired", "no_answer", "something accepts connections there and stays silent"),
    ("h2 protocol error|FRAME_SIZE_ERROR", "not_grpc", "is it the frontend's port (7233)?"),
)
_PERMANENT_BY_TEXT = (
    ("InvalidContentType", "tls_to_plaintext", "the server speaks no TLS: unset TEMPORAL_TLS"),
    (
        "UnknownIssuer|InvalidCertificate|NotValidForName|invalid peer cert",
        "invalid_certificate",
        "check TEMPORAL_TLS_SERVER_CA_CERT_PATH and TEMPORAL_TLS_SERVER_NAME",
    ),
    (
        "CertificateRequired|HandshakeFailure|DecryptError|BadCertificate|UnknownCA|AccessDenied",
        "certificate_refused",
        "check TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH",
    ),
    ("Unauthenticated", "unauthenticated", "check the API key or the client's certificate"),
    ("PermissionDenied", "permission_denied", "check that the key belongs to this namespace"),
    ("Unimplemented", "not_temporal", "it is not Temporal that answers there: check the address"),
)
_PERMANENT_STATUS = {
    RPCStatusCode.NOT_FOUND: ("namespace_not_found", "create the namespace or correct its name"),
    RPCStatusCode.UNAUTHENTICATED: ("unauthenticated", "check the API key"),
    RPCStatusCode.PERMISSION_DENIED: ("permission_denied", "check the API key's namespace"),
    RPCStatusCode.UNIMPLEMENTED: ("not_temporal", "check the address"),
}


@dataclass(frozen=True)
class Failure:
    """What a failed attempt means.

    Attributes:
        kind: A short name for logs: `connection_refused`.
        error: The error's own text, on one line.
        permanent: Trying again cannot help.
        next_step: What a person should look at; empty where nothing is known.
    """

    kind: str
    error: str
    permanent: bool = False
    next_step: str = ""


@dataclass(frozen=True)
class Options:
    """The command line, read.

    Attributes:
        connect: The arguments of `Client.connect`.
        timeout: Seconds after which to give up, which ends an attempt that is under way too; inf
            for no end.
        attempt_timeout: Seconds that one attempt may take.
        base_delay: Seconds; the first delay, before jitter. Each further one is twice as long.
        max_delay: Seconds; no delay is longer.
        once: Make one attempt.
        retry_on: Kinds of permanent failures that are waited out all the same.
        command: What to run afterwards; may be empty.
    """

    connect: dict[str, Any]
    timeout: float
    attempt_timeout: float
    base_delay: float
    max_delay: float
    once: bool
    retry_on: frozenset[str]
    command: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait; the exit code. With a command this process becomes it and does not return.

    Args:
        arguments: The command line; by default the process's own.
    """
    # A container's first process has no default action: without this a stop waits out its grace.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    try:
        options = _read(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if not asyncio.run(_in_time(options)):
        return NOT_READY
    if options.command:
        try:
            os.execvp(options.command[0], options.command)
        except OSError as error:
            print(f"error: {options.command[0]}: {error.strerror}", file=sys.stderr)
            return USAGE
    return READY


async def _in_time(options: Options) -> bool:
    try:
        return await wait_for_temporal(options)
    finally:
        await asyncio.sleep(_FOR_THE_SDKS_THREADS)


async def wait_for_temporal(options: Options) -> bool:
    """Make attempts until one succeeds.

    Returns:
        Whether Temporal is ready; False when the time is over, or waiting cannot help.
    """
    started = time.monotonic()
    delays = _delays(options.base_delay, options.max_delay)
    attempt = 0
    while True:
        attempt += 1
        left = options.timeout - (time.monotonic() - started)
        failure = await _attempt(options, min(left, options.attempt_timeout))
        elapsed = time.monotonic() - started
        if failure is None:
            _log("info", "ready", options, attempt, elapsed)
            return True
        permanent = failure.permanent and failure.kind not in options.retry_on
        delay = _within(options.timeout - elapsed, next(delays))
        if permanent or options.once or delay is None:
            about = _about(failure, "permanent" if permanent else "transient")
            _log("error", "gave up", options, attempt, elapsed, **about)
            return False
        about = _about(failure, "transient", next_attempt_in=round(delay, 3))
        _log("warning", "attempt failed", options, attempt, elapsed, **about)
        await asyncio.sleep(delay)


async def _attempt(options: Options, seconds: float) -> Failure | None:
    """Connect, ask for health, ask for the namespace; connecting alone proves neither.

    The time is bounded here: against a server that accepts and stays silent `connect` needs 30 s,
    and with TLS it never returns.
    """
    try:
        async with asyncio.timeout(seconds):
            client = await Client.connect(**options.connect)
            if not await _is_serving(client):
                return Failure("not_serving", "the server answers that it is not serving")
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace), timeout=_CALL
            )
    except TimeoutError:
        return Failure(
            "no_answer",
            f"no answer within {seconds:.1f}s",
            next_step="something accepts connections there and stays silent",
        )
    except (RuntimeError, ValueError, RPCError) as error:
        return diagnose(error)
    return None


async def _is_serving(client: Client) -> bool:
    try:
        return await client.service_client.check_health(timeout=_CALL)
    except RPCError as error:
        if error.status is RPCStatusCode.UNIMPLEMENTED:  # some gateways pass no health calls
            return True
        raise


def diagnose(error: Exception) -> Failure:
    """What a failed attempt means; the texts are those of temporalio 1.35."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError):
        return Failure("invalid_options", text, True, "correct the TEMPORAL_… variables")
    if isinstance(error, RPCError):
        if error.status in _PERMANENT_STATUS:
            kind, next_step = _PERMANENT_STATUS[error.status]
            return Failure(kind, text, True, next_step)
        return Failure(error.status.name.lower(), text)
    for permanent, table in ((True, _PERMANENT_BY_TEXT), (False, _BY_TEXT)):
        for pattern, kind, next_step in table:
            if re.search(pattern, text):
                return Failure(kind, text, permanent, next_step)
    return Failure("connection_failed", text, next_step="if the server speaks TLS: TEMPORAL_TLS")


def _delays(base: float, longest: float) -> Iterator[float]:
    """Exponential with full jitter: clients that lost one server do not come back in step."""
    ceiling = base
    while True:
        yield random.uniform(0, min(ceiling, longest))
        ceiling = min(2 * ceiling, longest)


def _within(left: float, delay: float) -> float | None:
    """The delay, cut to leave time for a last attempt; None when there is no time for one."""
    return min(delay, left - _LAST_ATTEMPT) if left > _LAST_ATTEMPT else None


def _about(failure: Failure, kind: str, **more: Any) -> dict[str, Any]:
    about = {"class": kind, "kind": failure.kind, "error": failure.error, **more}
    return {**about, "next_step": failure.next_step} if failure.next_step else about


def _log(
    level: str, message: str, options: Options, attempt: int, elapsed: float, **more: Any
) -> None:
    if options.once and level == "info":
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "message": message,
        "address": options.connect["target_host"],
        "namespace": options.connect["namespace"],
        "attempt": attempt,
        "elapsed": round(elapsed, 3),
        **more,
    }
    print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)


def _read(arguments: Sequence[str] | None) -> Options:
    """The command line over the environment over the TOML profile.

    Raises:
        ValueError: The profile cannot be read, or its address is none.
    """
    parser = argparse.ArgumentParser(
        description="Wait until Temporal is serving and the namespace can be used.",
        epilog="Durations are numbers with ms, s, m or h; seconds without.",
    )
    parser.add_argument("--address", help="host:port (TEMPORAL_ADDRESS; localhost:7233)")
    parser.add_argument("--namespace", help="the namespace (TEMPORAL_NAMESPACE; default)")
    parser.add_argument(
        "--timeout",
        type=_seconds_or_none,
        help="how long to wait, or none for no end (60s; with --health-check 5s)",
    )
    parser.add_argument(
        "--attempt-timeout", type=_seconds, default=10.0, help="how long one attempt may take (10s)"
    )
    parser.add_argument("--base-delay", type=_delay, default=0.5, help="the first delay (500ms)")
    parser.add_argument("--max-delay", type=_delay, default=5.0, help="the longest delay (5s)")
    parser.add_argument(
        "--retry-on",
        action="append",
        default=[],
        choices=["namespace_not_found", "permission_denied", "unauthenticated"],
        help="wait this failure out instead of ending at once; may be repeated",
    )
    parser.add_argument(
        "--health-check", action="store_true", help="make one attempt; silent when it succeeds"
    )
    parser.add_argument("command", nargs="*", help="after --: run this when Temporal is ready")
    given = parser.parse_args(arguments)
    return Options(
        _connect_arguments(given.address, given.namespace),
        given.timeout if given.timeout is not None else 5.0 if given.health_check else 60.0,
        given.attempt_timeout,
        given.base_delay,
        given.max_delay,
        given.health_check,
        frozenset(given.retry_on),
        given.command,
    )


def _connect_arguments(address: str | None, namespace: str | None) -> dict[str, Any]:
    try:
        profile = dict(ClientConfigProfile.load().to_client_connect_config())
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"Temporal's client configuration: {error}") from error
    found = {key: value for key, value in profile.items() if value is not None}
    target = str(address or found.get("target_host") or "localhost:7233")
    if not re.fullmatch(r"[^\s/]+:\d+", target):  # without a port the SDK would dial port 80
        raise ValueError(f"the address {target!r} is not host:port, such as temporal:7233")
    return {
        **found,
        "target_host": target,
        "namespace": namespace or found.get("namespace") or "default",
    }


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, such as 500ms, 90s or 5m")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _delay(text: str) -> float:
    if not (seconds := _seconds(text)):
        raise argparse.ArgumentTypeError("a delay of 0 would never pause")
    return seconds


def _seconds_or_none(text: str) -> float:
    return math.inf if text.strip() == "none" else _seconds(text)


if __name__ == "__main__":
    sys.exit(main())
