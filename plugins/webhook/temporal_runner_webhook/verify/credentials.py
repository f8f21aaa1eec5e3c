"""Secrets that are sent as they are, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence

from temporal_runner_webhook.request import Request, unauthorized
from temporal_runner_webhook.schemes import (
    ApiKeyVerification,
    BasicVerification,
    EventGridVerification,
    GitlabVerification,
    Secrets,
)

Check = Callable[[Request], None]
_BASIC = 'Basic realm="webhook", charset="UTF-8"'


def gitlab(settings: GitlabVerification) -> Check:
    """X-Gitlab-Token."""
    return _in_header("x-gitlab-token", settings.secrets)


def event_grid(settings: EventGridVerification) -> Check:
    """A parameter of the URL, or a delivery property."""
    if settings.query:
        return _in_query(settings.query, settings.secrets)
    return _in_header((settings.header or "").lower(), settings.secrets)


def api_key(settings: ApiKeyVerification) -> Check:
    """A header, or a parameter of the URL."""
    if settings.query:
        return _in_query(settings.query, settings.keys)
    return _in_header(settings.header.lower(), settings.keys)


def basic(settings: BasicVerification) -> Check:
    """Authorization: Basic."""
    users = [f"{user.username}:{user.password.reveal()}".encode() for user in settings.users]

    def check(request: Request) -> None:
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            raise unauthorized("give a user and a password (Authorization: Basic)", _BASIC)
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise unauthorized("the header authorization is not base64", _BASIC) from None
        if not _is_one_of(given, users):
            raise unauthorized("the user or the password is wrong", _BASIC)

    return check


def _in_header(name: str, secrets: Secrets) -> Check:
    keys = [secret.reveal().encode() for secret in secrets]

    def check(request: Request) -> None:
        given = request.headers.get(name)
        if not given:
            raise unauthorized(f"the header {name} is missing")
        if not _is_one_of(given.encode("latin-1", "replace"), keys):
            raise unauthorized(f"what the header {name} holds is wrong")

    return check


def _in_query(name: str, secrets: Secrets) -> Check:
    keys = [secret.reveal().encode() for secret in secrets]

    def check(request: Request) -> None:
        given = request.query(name)
        if not given:
            raise unauthorized(f"the URL's parameter {name} is missing")
        if not _is_one_of(given.encode(), keys):
            raise unauthorized(f"what the URL's parameter {name} holds is wrong")

    return check


def _is_one_of(given: bytes, known: Sequence[bytes]) -> bool:
    found = False
    for one in known:  # all of them, so that the time tells nothing
        found |= hmac.compare_digest(one, given)
    return found
