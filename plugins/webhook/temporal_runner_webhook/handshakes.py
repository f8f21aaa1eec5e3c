"""What senders ask before they send events: answered here, and no event of a route's."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from http import HTTPStatus

from temporal_runner.plugin import Event, HttpAnswer
from temporal_runner_webhook.answers import json_answer
from temporal_runner_webhook.request import Refusal, bad
from temporal_runner_webhook.schemes import EventGridVerification, Verification
from temporal_runner_webhook.verify import Verify

log = logging.getLogger("temporal_runner_webhook")
_GRID_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


def allowed_origins(settings: Verification, more: Collection[str]) -> Collection[str]:
    """Who may send CloudEvents to a listener."""
    if isinstance(settings, EventGridVerification):
        return {*settings.origins, *more}
    return more


def allow_origin(headers: Mapping[str, str], allowed: Collection[str]) -> HttpAnswer:
    """The answer to OPTIONS (CloudEvents' "HTTP 1.1 Web Hooks", section 4).

    Raises:
        Refusal: It does not ask for this, or that origin may not send.
    """
    origin = headers.get("webhook-request-origin")
    if not allowed or not origin:
        raise Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED, "only POST is taken here", ((b"allow", b"POST"),)
        )
    if origin not in allowed and "*" not in allowed:
        raise Refusal(HTTPStatus.FORBIDDEN, "this origin may not send events here")
    return HttpAnswer(
        HTTPStatus.OK,
        headers=(
            (b"allow", b"POST"),
            (b"webhook-allowed-origin", origin.encode("latin-1", "replace")),
            # Our own limits answer 429; the sender need not know them beforehand.
            (b"webhook-allowed-rate", b"*"),
        ),
    )


async def handshake(scheme: str, event: Event, verify: Verify) -> HttpAnswer | None:
    """The answer to an event that asks whether it is us; None for any other event.

    Raises:
        Refusal: It asks in a way that cannot be answered.
    """
    data = event.data if isinstance(event.data, dict) else {}
    match scheme, event.type:
        case "slack", "url_verification":
            return json_answer(HTTPStatus.OK, {"challenge": data.get("challenge")})
        case "event_grid", kind if kind == _GRID_VALIDATION:
            code = data.get("validationCode")
            if not isinstance(code, str):
                raise bad("the validation event has no validationCode")
            return json_answer(HTTPStatus.OK, {"validationResponse": code})
        case "sns", "SubscriptionConfirmation":
            from temporal_runner_webhook.verify.sns import SnsVerify

            assert isinstance(verify, SnsVerify)
            confirmed = await verify.confirm(data)
            return json_answer(HTTPStatus.OK, {"status": "confirmed" if confirmed else "ignored"})
        case "sns", "UnsubscribeConfirmation":
            log.warning("the subscription to %s has been ended", event.source)
            return json_answer(HTTPStatus.OK, {"status": "ignored"})
    return None
