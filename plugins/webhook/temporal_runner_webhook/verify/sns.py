"""Amazon SNS: the signature inside the message, by a certificate that is fetched from Amazon."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509 import Certificate, load_pem_x509_certificate

from temporal_runner.plugin import TransientError
from temporal_runner_webhook.request import Refusal, Request, bad, parse_json, unauthorized
from temporal_runner_webhook.schemes import SnsVerification, is_loopback
from temporal_runner_webhook.verify.fetch import fetch

log = logging.getLogger("temporal_runner_webhook")
_AMAZON = re.compile(r"sns\.[a-z0-9-]{1,32}\.amazonaws\.com(\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]
# SHA-1 is what SNS signs with by default; a config may refuse it (signature_versions: ["2"]).
_HASHES: dict[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}
_MOST_CERTIFICATES = 8
_LONGEST_WAIT = 10.0
"""Seconds that a message waits for its certificate, behind others of the same host too."""


class SnsVerify:
    """Checks SNS messages, and confirms subscriptions."""

    def __init__(self, settings: SnsVerification, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._certificates: dict[str, Certificate] = {}
        # A lock lasts for as long as somebody waits at it.
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, request: Request) -> None:
        """Return for a message that SNS signed, of a topic of ours.

        Raises:
            Refusal: 401, 400 for what is no SNS message, or 503 where the certificate cannot be
                had.
        """
        message = parse_json(request.body)
        kind = message.get("Type") if isinstance(message, dict) else None
        fields = _SIGNED.get(kind) if isinstance(kind, str) else None
        if fields is None:
            raise bad("the body is not an SNS message")
        texts = {name: value for name, value in message.items() if isinstance(value, str)}
        missing = {*fields, "SignatureVersion", "Signature", "SigningCertURL"} - {*texts, "Subject"}
        if missing:
            raise unauthorized(f"the message has no {min(missing)}")
        if texts["TopicArn"] not in self._settings.topics:
            raise unauthorized("the message's topic is not one of this listener's")
        if texts["SignatureVersion"] not in self._settings.signature_versions:
            raise unauthorized("the message's signature version is not allowed")
        self._check_time(texts["Timestamp"])
        content = "".join(f"{name}\n{texts[name]}\n" for name in fields if name in texts)
        url = _plain(texts["SigningCertURL"])
        certificate = await self._certificate(url)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise unauthorized("the message's certificate is not one of SNS")
        try:
            signature = base64.b64decode(texts["Signature"], validate=True)
            algorithm = _HASHES[texts["SignatureVersion"]]()
            key.verify(signature, content.encode(), PKCS1v15(), algorithm)
        except (InvalidSignature, ValueError):  # not base64, or not even ASCII
            raise unauthorized("the message's signature does not match it") from None
        self._keep(url, certificate)

    async def confirm(self, message: dict[str, Any]) -> bool:
        """Confirm the subscription that a verified message asks for.

        Returns:
            Whether the config wants that.

        Raises:
            Refusal: The URL is not Amazon's, or does not answer.
        """
        if not self._settings.confirm_subscriptions:
            log.warning("a subscription to %s waits to be confirmed", message["TopicArn"])
            return False
        url = message["SubscribeURL"]
        self._check_host(url)
        try:
            await fetch(url)
        except TransientError as error:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the subscription could not be confirmed",
                ((b"retry-after", b"5"),),
            ) from error
        log.info("confirmed the subscription to %s", message["TopicArn"])
        return True

    def _check_time(self, timestamp: str) -> None:
        try:
            age = self._clock() - datetime.fromisoformat(timestamp).timestamp()
        except (ValueError, OverflowError):
            raise unauthorized("the message's time cannot be read") from None
        if abs(age) > self._settings.tolerance.total_seconds():
            raise unauthorized("the message's time is not within the tolerance")

    def _check_host(self, url: str) -> None:
        """A URL in a message is followed only to Amazon, or where the config says."""
        try:
            parts = urlsplit(url)
            host, at = parts.hostname or "", parts.netloc
        except ValueError:
            raise unauthorized("the message has a URL that cannot be read") from None
        ours = at in self._settings.certificate_hosts
        secure = parts.scheme == "https" or (ours and parts.scheme == "http" and is_loopback(host))
        if not secure or not (ours or _AMAZON.fullmatch(at)):
            raise unauthorized("the message has a URL that is not Amazon's")

    async def _certificate(self, url: str) -> Certificate:
        """A certificate: one that has verified before, or fetched; a host's one at a time."""
        self._check_host(url)
        parts = urlsplit(url)
        if not _CERTIFICATE.fullmatch(parts.path):
            raise unauthorized("the message's certificate is at no place where SNS has one")
        certificate = self._certificates.get(url)
        if certificate is None:
            lock = self._fetching.setdefault(parts.netloc, asyncio.Lock())
            try:
                async with asyncio.timeout(_LONGEST_WAIT), lock:
                    certificate = self._certificates.get(url) or await _load(url)
            except TimeoutError:
                raise _not_now() from None
        now = datetime.fromtimestamp(self._clock(), UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise unauthorized("the message's certificate is not valid at this time")
        return certificate

    def _keep(self, url: str, certificate: Certificate) -> None:
        """Keep a certificate that a message was signed with: a forged one drives none out."""
        if url not in self._certificates:
            while len(self._certificates) >= _MOST_CERTIFICATES:
                del self._certificates[next(iter(self._certificates))]
            self._certificates[url] = certificate


def _plain(url: str) -> str:
    """A URL in its one spelling: it is not signed, and another one would be another certificate."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise unauthorized("the message has a URL that cannot be read") from None
    if {"?", "#"} & set(url):
        raise unauthorized("the message's certificate is at no place where SNS has one")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _not_now() -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the message's certificate cannot be had just now",
        ((b"retry-after", b"5"),),
    )


async def _load(url: str) -> Certificate:
    try:
        return load_pem_x509_certificate(await fetch(url))
    except TransientError as error:
        log.warning("%s", error)
        raise _not_now() from error
    except ValueError:
        raise unauthorized("the message's certificate is not one") from None
