"""One function for each place that takes bytes from outside: it raises where a promise is broken.

The promise is the same everywhere: a value of ours, or the one error that says what is wrong; no
other exception, and no event that could not be stored, routed and handed to Temporal. Hypothesis
(`test_targets.py`) and atheris (`python -m tests.fuzz`) call the same functions.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
from temporalio.contrib.pydantic import pydantic_data_converter

from temporal_runner.config.load import load
from temporal_runner.config.problems import ConfigError
from temporal_runner.errors import TransientError, UsageError
from temporal_runner.events.event import Event
from temporal_runner.events.identity import LONGEST_KEY, derived_id, event_key
from temporal_runner.events.saved import read_events
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.routing.expressions import Expression, ExpressionError, Scope
from temporal_runner_azure.events import Undecodable
from temporal_runner_azure.messages import MOST_EVENTS, decode, encode, read_event
from temporal_runner_s3.events import in_sequence
from temporal_runner_s3.messages import MOST_RECORDS, read_message
from temporal_runner_webhook.config import WebhookOptions
from temporal_runner_webhook.handshakes import handshake
from temporal_runner_webhook.mapping import EventReader
from temporal_runner_webhook.request import Refusal, Request
from temporal_runner_webhook.verify import make_verify
from temporal_runner_webhook.verify.tokens import read_keys
from tests.fuzz.signing import AMAZON, SNS_TOPIC, sign_sns, sns_certificates

Target = Callable[[bytes], None]

LONGEST = 5.0
"""Seconds of the processor that any input may take."""
SECRET = "a-secret-of-the-tests-of-more-than-32-bytes"
ENVIRON = {"A": "1", "B": "text", "RAW": "\udcff"}
CONVERTER = pydantic_data_converter.payload_converter

logging.getLogger("temporal_runner_webhook").setLevel(logging.CRITICAL)


@contextmanager
def bounded() -> Iterator[None]:
    """It takes no longer than it may."""
    began = time.thread_time()
    yield
    assert time.thread_time() - began < LONGEST, "it took too long"


# What every event must be good for. ---------------------------------------------------------------

_LOOKS = (
    "event.data.order == 1",
    "event.data.items.filter(x, x > 1).size() > 0",
    'event.type.startsWith("a") || event.subject == event.id',
    "has(event.data.a) && event.time > timestamp('2026-01-01T00:00:00Z')",
)


@cache
def looks() -> list[Expression]:
    """Filters such as routes have, and the whole event."""
    return [Expression(text) for text in (*_LOOKS, "event.data", "event")]


def check_event(event: Event) -> None:
    """An event can be told from others, stored, routed, and handed to a workflow that reads it."""
    for text in (event.id, event.source, event.type):
        assert isinstance(text, str)
        assert text
    assert isinstance(event.subject, str | None)
    assert isinstance(event.datacontenttype, str | None)
    assert event.time is None or event.time.tzinfo is not None
    written = event.to_dict()
    stored = json.dumps(written, ensure_ascii=False, allow_nan=False)
    stored.encode()
    assert Event.from_dict(json.loads(stored)).to_dict() == written
    for key in (event_key(event), derived_id("listener", event)):
        assert len(key.encode()) <= LONGEST_KEY
    scope = Scope(event)
    for expression in looks():
        try:
            expression.evaluate(scope)
        except ExpressionError as error:
            assert str(error)
    arguments = [written, {"within": written}]
    read_back = CONVERTER.from_payloads(CONVERTER.to_payloads(arguments))
    assert read_back == arguments


# Files. -------------------------------------------------------------------------------------------


@cache
def catalog() -> Catalog:
    """The installed plugins, found once."""
    return Catalog.installed()


def config(content: bytes) -> None:
    """A config file: a plan, or problems each of which says something."""
    with tempfile.TemporaryDirectory() as folder, bounded():
        file = Path(folder) / "config.yaml"
        file.write_bytes(content)
        try:
            make_plan(load(file, ENVIRON), catalog())
        except ConfigError as wrong:
            assert wrong.problems
            assert str(wrong)
            assert all(problem.message for problem in wrong.problems)
            str(wrong).encode()
            assert all(problem.spot for problem in wrong.problems) or not _is_text(content)


def _is_text(content: bytes) -> bool:
    """A file that can be read as text at all: then every problem has its place."""
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


def saved_events(content: bytes) -> None:
    """What `runner events send` is given."""
    with tempfile.TemporaryDirectory() as folder, bounded():
        file = Path(folder) / "events.json"
        file.write_bytes(content)
        try:
            events = read_events(file)
        except UsageError as wrong:
            str(wrong).encode()
        else:
            for event in events:
                check_event(event)


def expression(content: bytes) -> None:
    """The text of a `when` or of a `${{ … }}`."""
    event = Event(id="1", source="s", type="t", data={"a": [1, "b"], "n": 1.5, "big": 2**70})
    with bounded():
        try:
            Expression(content.decode("utf-8", "replace")).evaluate(Scope(event))
        except (ValueError, ExpressionError) as error:
            assert str(error)


# Messages of queues. ------------------------------------------------------------------------------


def s3(content: bytes) -> None:
    """A message of an SQS queue: records, each an event or a problem."""
    with bounded():
        records = read_message(content.decode("utf-8", "replace"))
        assert len(records) <= MOST_RECORDS
        for record in records:
            assert (record.event is None) == bool(record.problem)
            record.problem.encode()
            record.body.encode()
        events = [record.event for record in records if record.event]
        for event in events:
            check_event(event)
        assert sorted(in_sequence(events)) == list(range(len(events)))


def azure(content: bytes) -> None:
    """A message of a Storage Queue: events, or why there are none."""
    text = content.decode("utf-8", "replace")
    with bounded():
        try:
            entries = decode(text, "auto")
        except Undecodable as problem:
            str(problem).encode()
            return
        assert len(entries) <= MOST_EVENTS
        assert decode(encode(entries, text), "auto") == entries
        for entry in entries:
            try:
                check_event(read_event(entry))
            except Undecodable as problem:
                str(problem).encode()


# Requests. ----------------------------------------------------------------------------------------

_HS = {"scheme": "jwt", "issuer": "i", "audience": "a", "algorithms": ["HS256"]}
SCHEMES: dict[str, dict[str, Any]] = {
    "none": {"scheme": "none"},
    "github": {"scheme": "github", "secrets": [SECRET]},
    "gitlab": {"scheme": "gitlab", "secrets": [SECRET]},
    "stripe": {"scheme": "stripe", "secrets": [SECRET]},
    "slack": {"scheme": "slack", "secrets": [SECRET]},
    "standard_webhooks": {
        "scheme": "standard_webhooks",
        "secrets": ["whsec_" + base64.b64encode(SECRET.encode()).decode()],
    },
    "sns": {"scheme": "sns", "topics": [SNS_TOPIC], "certificate_hosts": [AMAZON]},
    "event_grid": {"scheme": "event_grid", "secrets": [SECRET], "query": "code"},
    "hmac": {"scheme": "hmac", "secrets": [SECRET], "header": "X-Sig", "encoding": "base64"},
    "basic": {"scheme": "basic", "users": [{"username": "me", "password": SECRET}]},
    "api_key": {"scheme": "api_key", "keys": [SECRET]},
    "api_key in the URL": {"scheme": "api_key", "keys": [SECRET], "query": "key"},
    "jwt": {**_HS, "secrets": [SECRET]},
    "jwt by the issuer's keys": {
        **_HS,
        "algorithms": ["RS256"],
        "jwks_url": "http://127.0.0.1:1/never-fetched-in-a-test",
        "jwks_min_refresh": "1000h",
    },
}
"""Each scheme with the options that it needs."""
_FETCHING = {"sns", "jwt by the issuer's keys"}
"""Schemes that may fetch something."""


@cache
def listener(scheme: str) -> tuple[Any, EventReader]:
    """A listener's verification and reader."""
    written = {"verify": SCHEMES[scheme], "path": "/hooks", "max_body": "1MiB"}
    options = WebhookOptions.model_validate_json(json.dumps(written), strict=True)
    verify = make_verify(options.verify)
    if scheme == "sns":
        verify._certificates.update(sns_certificates())  # type: ignore[attr-defined]
    return verify, EventReader(options)


def parse_request(content: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """A request as these tests write it: the query, then header lines, an empty line, the body."""
    head, _, body = content.partition(b"\n\n")
    query, *lines = head.split(b"\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        # What uvicorn hands over: small letters, no bytes that no header may have.
        named = name.strip().lower().decode("latin-1")
        if named and named.isascii() and not any(c.isspace() or c in "\0\r" for c in named):
            headers[named] = value.strip().replace(b"\0", b"").replace(b"\r", b"").decode("latin-1")
    return query.replace(b"\0", b""), headers, body


def sign(
    scheme: str, query: bytes, headers: dict[str, str], body: bytes, secret: str = SECRET
) -> bytes:
    """Make a request one that its sender has signed: its headers change, and its query may."""
    key, stamp = secret.encode(), str(int(time.time()))
    sha256 = hmac.new(key, body, hashlib.sha256)
    match scheme:
        case "github":
            headers["x-hub-signature-256"] = f"sha256={sha256.hexdigest()}"
        case "hmac":
            headers["x-sig"] = base64.b64encode(sha256.digest()).decode()
        case "gitlab":
            headers["x-gitlab-token"] = secret
        case "stripe":
            digest = hmac.new(key, f"{stamp}.".encode() + body, "sha256").hexdigest()
            headers["stripe-signature"] = f"t={stamp},v1={digest}"
        case "slack":
            digest = hmac.new(key, f"v0:{stamp}:".encode() + body, "sha256").hexdigest()
            headers |= {"x-slack-signature": f"v0={digest}", "x-slack-request-timestamp": stamp}
        case "standard_webhooks":
            own_id = headers.setdefault("webhook-id", "msg_1") or "msg_1"
            headers |= {"webhook-id": own_id, "webhook-timestamp": stamp}
            signed = f"{own_id}.{stamp}.".encode("latin-1") + body
            digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
            headers["webhook-signature"] = f"v1,{digest}"
        case "basic":
            headers["authorization"] = "Basic " + base64.b64encode(b"me:" + key).decode()
        case "api_key":
            headers["x-api-key"] = secret
        case "api_key in the URL":
            return b"key=" + quote(secret).encode() + b"&" + query
        case "event_grid":
            return b"code=" + quote(secret).encode() + b"&" + query
        case "jwt":
            claims = {"iss": "i", "aud": "a", "exp": time.time() + 60}
            headers["authorization"] = "Bearer " + jwt.encode(claims, secret, "HS256")
    return query


def request(scheme: str, content: bytes, *, signed: bool) -> None:
    """A request to a listener of this scheme, up to its events or its refusal."""
    query, headers, body = parse_request(content)
    if signed:
        if scheme == "sns":
            body = sign_sns(body)
        query = sign(scheme, query, headers, body)
    verify, reader = listener(scheme)

    async def handle() -> None:
        arrived = Request(headers, query, body)
        await verify(arrived)
        events = reader.read(arrived)
        if scheme == "sns" and events[0].type == "SubscriptionConfirmation":
            return  # it would be confirmed over the network
        if events and await handshake(SCHEMES[scheme]["scheme"], events[0], verify):
            return
        for event in events:
            check_event(event)

    with bounded():
        try:
            run(handle(), waits=scheme in _FETCHING)
        except Refusal as refusal:
            assert 400 <= refusal.status < 600
            assert refusal.detail
            assert SECRET not in refusal.detail
            refusal.detail.encode()
            assert all(b"\n" not in value for _, value in refusal.headers)


def run(coroutine: Coroutine[Any, Any, None], *, waits: bool) -> None:
    """Run what has nothing to wait for, without the loop that would take most of the time."""
    if waits:
        asyncio.run(coroutine)
        return
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def of_scheme(scheme: str, *, signed: bool) -> Target:
    """The target of one scheme."""
    return lambda content: request(scheme, content, signed=signed)


def token(content: bytes) -> None:
    """A bearer token whose header and claims are anything, rightly signed."""
    header, _, claims = content.partition(b"\n")
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(SECRET.encode(), b".".join(parts), "sha256")
    parts.append(base64.urlsafe_b64encode(signature).rstrip(b"="))
    for scheme in ("jwt", "jwt by the issuer's keys"):
        request(scheme, b"\nauthorization: Bearer " + b".".join(parts) + b"\n\n{}", signed=False)


def key_set(content: bytes) -> None:
    """What a token's issuer publishes."""
    with bounded():
        try:
            read_keys(content)
        except TransientError as error:
            assert str(error)


TARGETS: Mapping[str, Target] = {
    "config": config,
    "expression": expression,
    "saved_events": saved_events,
    "s3": s3,
    "azure": azure,
    "token": token,
    "key_set": key_set,
    **{f"verify {scheme}": of_scheme(scheme, signed=False) for scheme in SCHEMES},
    **{
        f"read {scheme}": of_scheme(scheme, signed=True)
        for scheme in SCHEMES
        if scheme != "jwt by the issuer's keys"
    },
}
"""By name, what a name on the command line means."""
