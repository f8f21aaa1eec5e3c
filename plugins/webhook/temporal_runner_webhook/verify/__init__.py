"""Whether a request comes from whom it says: one module for each family of schemes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from temporal_runner_webhook.request import Request
from temporal_runner_webhook.schemes import (
    ApiKeyVerification,
    BasicVerification,
    EventGridVerification,
    GithubVerification,
    GitlabVerification,
    HmacVerification,
    JwtVerification,
    SlackVerification,
    SnsVerification,
    StandardVerification,
    StripeVerification,
    Verification,
)
from temporal_runner_webhook.verify import credentials, signed

Verify = Callable[[Request], Awaitable[None]]
"""Returns for a request that proves its sender; raises a Refusal for any other."""


def make_verify(settings: Verification, clock: Callable[[], float] = time.time) -> Verify:
    """The verification that a config asks for.

    Args:
        settings: Its section.
        clock: Seconds since the epoch.
    """
    check: Callable[[Request], None]
    match settings:
        case SnsVerification():
            from temporal_runner_webhook.verify.sns import SnsVerify

            return SnsVerify(settings, clock)
        case JwtVerification():
            from temporal_runner_webhook.verify.tokens import JwtVerify

            return JwtVerify(settings)
        case GithubVerification():
            check = signed.github(settings)
        case HmacVerification():
            check = signed.hmac_of_body(settings)
        case StandardVerification():
            check = signed.standard_webhooks(settings, clock)
        case StripeVerification():
            check = signed.stripe(settings, clock)
        case SlackVerification():
            check = signed.slack(settings, clock)
        case GitlabVerification():
            check = credentials.gitlab(settings)
        case EventGridVerification():
            check = credentials.event_grid(settings)
        case ApiKeyVerification():
            check = credentials.api_key(settings)
        case BasicVerification():
            check = credentials.basic(settings)
        case _:
            check = _anybody

    async def verify(request: Request) -> None:
        check(request)

    return verify


def _anybody(request: Request) -> None:
    """The scheme none."""
