"""How a request proves its sender: one section a scheme, for `verify` in a listener's options."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from temporal_runner.plugin import Duration, Options, PositiveDuration, Secret, Text, Url

_SHORTEST = 8
"""Bytes of a secret without the blanks around it: NIST SP 800-63B, 5.1.1.2, for secrets that people
choose; the runner's log stars out none that are shorter. What a sender draws is much longer: a
shorter one is a variable that is not set, or a placeholder."""
_SHORTEST_STANDARD = 24
"""Bytes of a Standard Webhooks key, once decoded: the specification's least."""
_SHORTEST_SHARED = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes of the key of a token's HMAC: those of its hash, RFC 7518, 3.2."""


def _without_empty(entries: Any) -> Any:
    """A variable that is not set leaves an empty entry, such as the old secret's after a change."""
    if isinstance(entries, list | tuple):
        return tuple(one for one in entries if not (isinstance(one, str) and not one.strip()))
    return entries


def _long_enough(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    for secret in secrets:
        check_length(secret)
    return secrets


def check_length(secret: Secret, least: int = _SHORTEST) -> Secret:
    """Refuse a secret that anybody could guess.

    Raises:
        ValueError: It is shorter, without the blanks around it.
    """
    if len(secret.reveal().strip().encode()) < least:
        raise ValueError(
            f"a secret has at least {least} bytes: is its variable set, and is it no placeholder?"
        )
    return secret


Secrets = Annotated[
    tuple[Secret, ...],
    Field(min_length=1),
    AfterValidator(_long_enough),
    BeforeValidator(_without_empty),
]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
_FIVE_MINUTES = timedelta(minutes=5)


def standard_key(secret: Secret) -> bytes:
    """The bytes of a Standard Webhooks secret (`whsec_` and base64).

    Raises:
        ValueError: It is not base64.
    """
    try:
        return base64.b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a Standard Webhooks secret is whsec_ and base64") from None


def _decodable(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    for secret in secrets:
        if len(standard_key(secret)) < _SHORTEST_STANDARD:
            raise ValueError(
                f"a Standard Webhooks secret has at least {_SHORTEST_STANDARD} bytes, once decoded:"
                " is its variable set?"
            )
    return secrets


def is_loopback(host: str | None) -> bool:
    """Whether a host of a URL is this machine."""
    return host in {"localhost", "127.0.0.1", "::1"}


def _fetchable(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return url
    raise ValueError("the URL must begin with https:// (http:// is for loopback alone)")


class NoVerification(Options):
    """Take any request: only behind something else that verifies."""

    scheme: Literal["none"]
    """none"""


class HmacVerification(Options):
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


class GithubVerification(Options):
    """GitHub: X-Hub-Signature-256 over the raw body."""

    scheme: Literal["github"]
    """github"""
    secrets: Secrets
    """The webhook's secrets; while one is replaced by another, both."""


class GitlabVerification(Options):
    """GitLab: X-Gitlab-Token, the secret itself (its signing token is standard_webhooks)."""

    scheme: Literal["gitlab"]
    """gitlab"""
    secrets: Secrets
    """The webhook's secret tokens; while one is replaced by another, both."""


class StandardVerification(Options):
    """Standard Webhooks (standardwebhooks.com), as Svix and many others send."""

    scheme: Literal["standard_webhooks"]
    """standard_webhooks"""
    secrets: Annotated[Secrets, AfterValidator(_decodable)]
    """The endpoint's secrets, whsec_…; while one is replaced by another, both."""
    tolerance: PositiveDuration = _FIVE_MINUTES
    """How far the request's time may be from ours, in either direction."""


class StripeVerification(Options):
    """Stripe: Stripe-Signature over time and raw body."""

    scheme: Literal["stripe"]
    """stripe"""
    secrets: Secrets
    """The endpoint's secrets, whsec_…; while one is replaced by another, both."""
    tolerance: PositiveDuration = _FIVE_MINUTES
    """How far the request's time may be from ours, in either direction."""


class SlackVerification(Options):
    """Slack: X-Slack-Signature over time and raw body; url_verification is answered."""

    scheme: Literal["slack"]
    """slack"""
    secrets: Secrets
    """The app's signing secrets; while one is replaced by another, both."""
    tolerance: PositiveDuration = _FIVE_MINUTES
    """How far the request's time may be from ours, in either direction."""


class SnsVerification(Options):
    """Amazon SNS over HTTP: the signature in the message, by a certificate of Amazon's."""

    scheme: Literal["sns"]
    """sns"""
    topics: Annotated[tuple[Text, ...], Field(min_length=1)]
    """The ARNs of the topics that are taken, and whose subscriptions are confirmed."""
    confirm_subscriptions: bool = True
    """Whether a subscription of one of these topics is confirmed."""
    signature_versions: Annotated[tuple[Literal["1", "2"], ...], Field(min_length=1)] = ("1", "2")
    """1 is SHA-1, the default of a topic; 2 is SHA-256."""
    tolerance: PositiveDuration = timedelta(hours=2)
    """How far the message's time may be from ours. SNS keeps a message's time when it tries
    again, for an hour by default."""
    certificate_hosts: tuple[Text, ...] = ()
    """More hosts (`host` or `host:port`) beside sns.REGION.amazonaws.com from which certificates
    are fetched and at which subscriptions are confirmed."""


class EventGridVerification(Options):
    """Azure Event Grid: a secret in the URL or a header; both handshakes are answered."""

    scheme: Literal["event_grid"]
    """event_grid"""
    secrets: Secrets
    """The secrets; while one is replaced by another, both."""
    query: Text | None = None
    """The parameter of the endpoint's URL that holds the secret, such as code."""
    header: HeaderName | None = None
    """The delivery property (a header) that holds the secret."""
    origins: tuple[Text, ...] = ("eventgrid.azure.net",)
    """Who may send CloudEvents: the origins that the OPTIONS handshake allows."""

    @model_validator(mode="after")
    def _one_place(self) -> EventGridVerification:
        if (self.query is None) == (self.header is None):
            raise ValueError("give query or header: where the secret stands")
        return self


class User(Options):
    """A user of basic authentication."""

    username: Text
    """The name."""
    password: Annotated[Secret, AfterValidator(check_length)]
    """The password."""


class BasicVerification(Options):
    """HTTP basic authentication."""

    scheme: Literal["basic"]
    """basic"""
    users: Annotated[tuple[User, ...], Field(min_length=1)]
    """Who is let in."""


class ApiKeyVerification(Options):
    """A key in a header, or in a parameter of the URL."""

    scheme: Literal["api_key"]
    """api_key"""
    keys: Secrets
    """The keys; while one is replaced by another, both."""
    header: HeaderName = "X-API-Key"
    """The header that holds the key."""
    query: Text | None = None
    """The URL's parameter that holds the key, instead of the header."""


Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip


class JwtVerification(Options):
    """A JSON Web Token in `Authorization: Bearer`: it proves the sender, not the body."""

    scheme: Literal["jwt"]
    """jwt"""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    """The algorithms that are taken; all others are refused."""
    issuer: Text
    """What `iss` must be."""
    audience: Text
    """What `aud` must be, or have among others."""
    jwks_url: Annotated[Url, AfterValidator(_fetchable)] | None = None
    """Where the issuer publishes its keys."""
    public_keys: Annotated[tuple[Secret, ...], Field(min_length=1)] | None = None
    """Or its public keys (PEM)."""
    secrets: Secrets | None = None
    """Or the shared secrets, for HS256, HS384 and HS512."""
    leeway: Duration = timedelta(seconds=30)
    """How far the issuer's clock may be from ours."""
    jwks_lifetime: PositiveDuration = timedelta(hours=1)
    """How long fetched keys are used. While newer ones cannot be fetched, as long again."""
    jwks_min_refresh: PositiveDuration = timedelta(seconds=30)
    """Unknown keys make us look for new ones, at most once in this time."""

    @model_validator(mode="after")
    def _keys_fit_algorithms(self) -> JwtVerification:
        if sum(bool(keys) for keys in (self.jwks_url, self.public_keys, self.secrets)) != 1:
            raise ValueError("give just one of jwks_url, public_keys and secrets")
        if any(name.startswith("HS") != bool(self.secrets) for name in self.algorithms):
            raise ValueError("HS256, HS384 and HS512 go with secrets, all others with public keys")
        least = max((_SHORTEST_SHARED.get(name, 0) for name in self.algorithms), default=0)
        for secret in self.secrets or ():
            check_length(secret, least)
        return self


def _scheme(raw: object) -> str | None:
    scheme = raw.get("scheme") if isinstance(raw, dict) else getattr(raw, "scheme", None)
    return f"{scheme} scheme"


Verification = Annotated[
    Annotated[NoVerification, Tag("none scheme")]
    | Annotated[HmacVerification, Tag("hmac scheme")]
    | Annotated[GithubVerification, Tag("github scheme")]
    | Annotated[GitlabVerification, Tag("gitlab scheme")]
    | Annotated[StandardVerification, Tag("standard_webhooks scheme")]
    | Annotated[StripeVerification, Tag("stripe scheme")]
    | Annotated[SlackVerification, Tag("slack scheme")]
    | Annotated[SnsVerification, Tag("sns scheme")]
    | Annotated[EventGridVerification, Tag("event_grid scheme")]
    | Annotated[BasicVerification, Tag("basic scheme")]
    | Annotated[ApiKeyVerification, Tag("api_key scheme")]
    | Annotated[JwtVerification, Tag("jwt scheme")],
    Discriminator(
        _scheme,
        custom_error_type="scheme",
        custom_error_message="scheme must be one of github, gitlab, stripe, slack,"
        " standard_webhooks, sns, event_grid, hmac, basic, api_key, jwt, none",
    ),
]
"""The section of any scheme."""
