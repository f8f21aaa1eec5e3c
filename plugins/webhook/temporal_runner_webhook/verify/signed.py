"""Signatures by a shared secret over the raw body, compared in constant time."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from temporal_runner_webhook.request import Request, unauthorized
from temporal_runner_webhook.schemes import (
    GithubVerification,
    HmacVerification,
    SlackVerification,
    StandardVerification,
    StripeVerification,
    standard_key,
)

Check = Callable[[Request], None]
Clock = Callable[[], float]
_TIME = re.compile("[0-9]{1,12}")


def github(settings: GithubVerification) -> Check:
    """X-Hub-Signature-256: sha256=HEX over the body."""
    keys = [secret.reveal().encode() for secret in settings.secrets]
    return _over_body("x-hub-signature-256", "sha256", "hex", "sha256=", keys)


def hmac_of_body(settings: HmacVerification) -> Check:
    """Whatever the config says, over the body."""
    keys = [secret.reveal().encode() for secret in settings.secrets]
    header = settings.header.lower()
    return _over_body(header, settings.algorithm, settings.encoding, settings.prefix, keys)


def standard_webhooks(settings: StandardVerification, clock: Clock) -> Check:
    """webhook-signature: "v1,BASE64 v1,BASE64 …" over `ID.TIME.BODY`."""
    keys = [standard_key(secret) for secret in settings.secrets]

    def check(request: Request) -> None:
        event_id = _header(request, "webhook-id")
        stamp = _fresh(_header(request, "webhook-timestamp"), settings.tolerance, clock)
        signatures = [
            signature
            for version, _, signature in (
                part.partition(",") for part in _header(request, "webhook-signature").split()
            )
            if version == "v1"
        ]
        content = f"{event_id}.{stamp}.".encode("latin-1", "replace") + request.body
        digests = (base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys)
        _one_matches(digests, signatures, "webhook-signature")

    return check


def stripe(settings: StripeVerification, clock: Clock) -> Check:
    """Stripe-Signature: "t=TIME,v1=HEX,v1=HEX,…" over `TIME.BODY`."""
    keys = [secret.reveal().encode() for secret in settings.secrets]

    def check(request: Request) -> None:
        parts = [
            part.strip().partition("=") for part in _header(request, "stripe-signature").split(",")
        ]
        stamp = next((value for name, _, value in parts if name == "t"), "")
        _fresh(stamp, settings.tolerance, clock)
        content = f"{stamp}.".encode() + request.body
        digests = (hmac.new(key, content, "sha256").hexdigest().encode() for key in keys)
        signatures = [value for name, _, value in parts if name == "v1"]
        _one_matches(digests, signatures, "stripe-signature")

    return check


def slack(settings: SlackVerification, clock: Clock) -> Check:
    """X-Slack-Signature: v0=HEX over `v0:TIME:BODY`."""
    keys = [secret.reveal().encode() for secret in settings.secrets]

    def check(request: Request) -> None:
        stamp = _header(request, "x-slack-request-timestamp")
        signature = _header(request, "x-slack-signature")
        _fresh(stamp, settings.tolerance, clock)
        content = f"v0:{stamp}:".encode() + request.body
        digests = (b"v0=" + hmac.new(key, content, "sha256").hexdigest().encode() for key in keys)
        _one_matches(digests, [signature], "x-slack-signature")

    return check


def _over_body(
    header: str, algorithm: str, encoding: str, prefix: str, keys: Sequence[bytes]
) -> Check:
    def check(request: Request) -> None:
        given = _header(request, header)
        if not given.startswith(prefix):
            raise unauthorized(f"the signature in {header} does not begin with {prefix}")
        hashes = [hmac.digest(key, request.body, algorithm) for key in keys]
        digests = (
            one.hex().encode() if encoding == "hex" else base64.b64encode(one) for one in hashes
        )
        _one_matches(digests, [given.removeprefix(prefix)], header)

    return check


def _header(request: Request, name: str) -> str:
    value = request.headers.get(name)
    if not value:
        raise unauthorized(f"the header {name} is missing")
    return value


def _fresh(stamp: str, tolerance: timedelta, clock: Clock) -> str:
    """A time that is near enough to ours."""
    if not _TIME.fullmatch(stamp) or abs(clock() - int(stamp)) > tolerance.total_seconds():
        raise unauthorized("the time of the signature is not within the tolerance")
    return stamp


def _one_matches(digests: Iterable[bytes], signatures: Sequence[str], header: str) -> None:
    given = [signature.encode("latin-1", "replace") for signature in signatures]
    matches = False
    for digest in digests:  # all of them, so that the time tells nothing
        for signature in given:
            matches |= hmac.compare_digest(digest, signature)
    if not matches:
        raise unauthorized(f"the signature in {header} does not match the body")
