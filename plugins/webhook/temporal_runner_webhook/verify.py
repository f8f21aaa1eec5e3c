"""Whether a request comes from whom it says: signatures over the raw body, in constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping

from temporal_runner_webhook.config import (
    GithubVerification,
    HmacVerification,
    StandardVerification,
    Verification,
    standard_key,
)

Headers = Mapping[str, str]
"""By lower-case name."""
Verify = Callable[[Headers, bytes], str]
"""Says why a request is refused; empty where it is not."""


def make_verify(settings: Verification, clock: Callable[[], float] = time.time) -> Verify:
    """The verification that a config asks for.

    Args:
        settings: Its section.
        clock: Seconds since the epoch.
    """
    match settings:
        case GithubVerification():
            return _signed("x-hub-signature-256", "sha256", "hex", "sha256=", settings.secrets)
        case HmacVerification():
            return _signed(
                settings.header.lower(),
                settings.algorithm,
                settings.encoding,
                settings.prefix,
                settings.secrets,
            )
        case StandardVerification():
            return _standard_webhooks(settings, clock)
    return lambda headers, body: ""


def _signed(header: str, algorithm: str, encoding: str, prefix: str, secrets: object) -> Verify:
    keys = [secret.reveal().encode() for secret in secrets]  # type: ignore[attr-defined]

    def verify(headers: Headers, body: bytes) -> str:
        given = headers.get(header)
        if not given:
            return f"the header {header} is missing"
        if not given.startswith(prefix):
            return f"the signature in {header} does not begin with {prefix}"
        signature = given.removeprefix(prefix).encode("latin-1", "replace")
        matches = False
        for key in keys:  # all of them, so that the time tells nothing
            digest = hmac.new(key, body, algorithm)
            expected = (
                digest.hexdigest().encode()
                if encoding == "hex"
                else base64.b64encode(digest.digest())
            )
            matches |= hmac.compare_digest(expected, signature)
        return "" if matches else f"the signature in {header} does not match the body"

    return verify


def _standard_webhooks(settings: StandardVerification, clock: Callable[[], float]) -> Verify:
    keys = [standard_key(secret) for secret in settings.secrets]
    tolerance = settings.tolerance.total_seconds()

    def verify(headers: Headers, body: bytes) -> str:
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            if not headers.get(name):
                return f"the header {name} is missing"
        stamp = headers["webhook-timestamp"]
        if not re.fullmatch("[0-9]{1,12}", stamp) or abs(clock() - int(stamp)) > tolerance:
            return "the time in webhook-timestamp is not within the tolerance"
        signed = f"{headers['webhook-id']}.{stamp}.".encode("latin-1", "replace") + body
        expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
        matches = False
        # Several signatures may be given, each with its version: "v1,… v1,… v1a,…".
        for part in headers["webhook-signature"].split():
            version, _, signature = part.partition(",")
            for one in expected if version == "v1" else ():
                matches |= hmac.compare_digest(one, signature.encode("latin-1", "replace"))
        return "" if matches else "the signature in webhook-signature does not match the body"

    return verify
