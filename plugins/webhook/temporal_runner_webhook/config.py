"""A webhook listener's options."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag

from temporal_runner.plugin import Options, PositiveDuration, Secret, Size


class _Section(Options):
    model_config = ConfigDict(use_attribute_docstrings=True)


Secrets = Annotated[tuple[Secret, ...], Field(min_length=1)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]


def _decodable(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    for secret in secrets:
        standard_key(secret)
    return secrets


def standard_key(secret: Secret) -> bytes:
    """The bytes of a Standard Webhooks secret (`whsec_` and base64).

    Raises:
        ValueError: It is not base64.
    """
    try:
        return base64.b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a Standard Webhooks secret is whsec_ and base64") from None


class NoVerification(_Section):
    """Take any request: only behind something else that verifies."""

    scheme: Literal["none"]
    """none"""


class HmacVerification(_Section):
    """A signature over the raw body, for senders without a preset."""

    scheme: Literal["hmac"]
    """hmac"""
    secrets: Secrets
    """The shared secrets; while one is replaced by another, both."""
    header: HeaderName
    """The header that holds the signature."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    """The hash."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the signature is written."""
    prefix: str = ""
    """What stands before it, such as sha256=."""


class GithubVerification(_Section):
    """GitHub: X-Hub-Signature-256 over the raw body."""

    scheme: Literal["github"]
    """github"""
    secrets: Secrets
    """The webhook's secrets; while one is replaced by another, both."""


class StandardVerification(_Section):
    """Standard Webhooks (standardwebhooks.com), as Svix and many others send."""

    scheme: Literal["standard_webhooks"]
    """standard_webhooks"""
    secrets: Annotated[Secrets, AfterValidator(_decodable)]
    """The endpoint's secrets, whsec_…; while one is replaced by another, both."""
    tolerance: PositiveDuration = timedelta(minutes=5)
    """How far the request's time may be from ours, in either direction."""


def _scheme(written: object) -> str | None:
    scheme = (
        written.get("scheme") if isinstance(written, dict) else getattr(written, "scheme", None)
    )
    return f"{scheme} scheme"


Verification = Annotated[
    Annotated[NoVerification, Tag("none scheme")]
    | Annotated[HmacVerification, Tag("hmac scheme")]
    | Annotated[GithubVerification, Tag("github scheme")]
    | Annotated[StandardVerification, Tag("standard_webhooks scheme")],
    Discriminator(
        _scheme,
        custom_error_type="scheme",
        custom_error_message="scheme must be one of github, standard_webhooks, hmac, none",
    ),
]


class WebhookOptions(_Section):
    """Where to listen, whom to believe, and what of a request becomes the event."""

    verify: Verification
    """How a request proves its sender."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 in a container."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """The port; 0 picks a free one."""
    path: Annotated[str, Field(pattern=r"^/[^?#\s]*$")] = "/"
    """The path; it is the event's `source` too."""
    id_header: HeaderName | None = None
    """The header that becomes the event's `id`. By default that of the scheme (X-GitHub-Delivery,
    webhook-id); without one the `id` is a digest of the body, so that the same body is the same
    event."""
    type_header: HeaderName | None = None
    """The header that becomes the event's `type`. By default that of the scheme (X-GitHub-Event),
    else the body's `type`, else `webhook`."""
    max_body: Size = 1024 * 1024
    """The largest body; a larger one is answered 413 before it is read."""
    body_timeout: PositiveDuration = timedelta(seconds=10)
    """How long a request's body may take to arrive."""
