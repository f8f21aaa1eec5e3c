"""From what became of a delivery to the answer that its sender gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json

from temporal_runner.plugin import Accepted, Delivery, HttpAnswer
from temporal_runner_webhook.config import PATH, ResponseOptions, ResponseTemplate
from temporal_runner_webhook.request import Refusal

_RETRY_AFTER = 5.0
"""Seconds, where whoever refuses does not say."""
_PROBLEMS = {"nacked": HTTPStatus.SERVICE_UNAVAILABLE, "rejected": HTTPStatus.UNPROCESSABLE_ENTITY}
_ORDER = ("nacked", "rejected", "accepted", "completed", "duplicate", "ignored")
"""Of several outcomes the one that comes first here is answered."""


class WebhookDelivery(Delivery):
    """A request under way; settling it decides the answer.

    Attributes:
        outcome: accepted, completed, duplicate, ignored, nacked or rejected.
        accepted: What Temporal accepted, if it did.
        reason: Why it did not.
        retry_after: Seconds after which the sender should come again.
    """

    outcome = "nacked"
    accepted = Accepted()
    reason = "the delivery was not settled"
    retry_after = _RETRY_AFTER

    async def ack(self, accepted: Accepted) -> None:
        """2xx."""
        self.accepted = accepted
        if not accepted.action:
            self.outcome = "ignored"
        elif accepted.completed:
            self.outcome = "completed"
        else:
            self.outcome = "duplicate" if accepted.duplicate else "accepted"

    async def nack(self, reason: str, *, retry_after: float | None = None) -> None:
        """503 with Retry-After."""
        self.outcome, self.reason = "nacked", reason
        self.retry_after = retry_after or _RETRY_AFTER

    async def reject(self, reason: str) -> None:
        """422: the sender keeps it, or shows it to its owner."""
        self.outcome, self.reason = "rejected", reason


def json_answer(status: int, body: Any) -> HttpAnswer:
    """An answer with a JSON body."""
    # A workflow's result may hold what JSON has no form for.
    return HttpAnswer(status, to_json(body, fallback=str))


def problem(refusal: Refusal, **more: Any) -> HttpAnswer:
    """A refusal as an answer with a problem body (RFC 9457)."""
    body = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": refusal.status.value,
        "detail": refusal.detail,
        **more,
    }
    return HttpAnswer(
        refusal.status.value, to_json(body), b"application/problem+json", refusal.headers
    )


class Answers:
    """The answers of one listener."""

    def __init__(self, options: ResponseOptions) -> None:
        self._templates: dict[str, Callable[[WebhookDelivery], HttpAnswer]] = {
            outcome: _compile(template)
            for outcome in type(options).model_fields
            if (template := getattr(options, outcome)) is not None
        }

    def to(self, deliveries: Sequence[WebhookDelivery]) -> HttpAnswer:
        """The answer to a request with these deliveries, each of them settled."""
        if not deliveries:
            return json_answer(HTTPStatus.OK, {"status": "ignored"})
        worst = deliveries[0]
        if len(deliveries) > 1:
            worst = min(deliveries, key=lambda one: _ORDER.index(one.outcome))
        batch = {"events": [_summary(one) for one in deliveries]} if len(deliveries) > 1 else {}
        if worst.outcome in _PROBLEMS:
            headers: tuple[tuple[bytes, bytes], ...] = ()
            if worst.outcome == "nacked":
                headers = ((b"retry-after", b"%d" % max(1, round(worst.retry_after))),)
            return problem(Refusal(_PROBLEMS[worst.outcome], _told(worst), headers), **batch)
        if not batch and (template := self._templates.get(worst.outcome)):
            return template(worst)
        status = HTTPStatus.ACCEPTED if worst.outcome == "accepted" else HTTPStatus.OK
        if batch:
            return json_answer(status, {"status": worst.outcome, **batch})
        summary = _summary(worst)
        del summary["id"]
        return json_answer(status, summary)


def _summary(delivery: WebhookDelivery) -> dict[str, Any]:
    accepted = delivery.accepted
    body: dict[str, Any] = {"id": delivery.event.id, "status": delivery.outcome}
    if accepted.workflow_id:
        body["workflow_id"] = accepted.workflow_id
    if accepted.run_id:
        body["run_id"] = accepted.run_id
    if accepted.completed:
        body["result"] = accepted.result
    if delivery.outcome in _PROBLEMS:
        body["detail"] = _told(delivery)
    return body


def _told(delivery: WebhookDelivery) -> str:
    """What the sender is told. An outage's own words may name hosts that are not its business."""
    return "not now: send it again later" if delivery.outcome == "nacked" else delivery.reason


# Templates. ---------------------------------------------------------------------------------------


def _compile(template: ResponseTemplate) -> Callable[[WebhookDelivery], HttpAnswer]:
    def fill(delivery: WebhookDelivery) -> HttpAnswer:
        accepted = delivery.accepted
        scope = {
            "event": delivery.event.to_dict(),
            "workflow_id": accepted.workflow_id,
            "run_id": accepted.run_id,
            "result": accepted.result,
        }
        headers = tuple(
            (name.lower().encode(), _header_text(_fill_text(value, scope)))
            for name, value in template.headers.items()
        )
        body = _fill(template.body, scope)
        if body is None or template.status == HTTPStatus.NO_CONTENT:
            return HttpAnswer(template.status, headers=headers)
        if isinstance(template.body, str) and isinstance(body, str):
            return HttpAnswer(template.status, body.encode(), b"text/plain; charset=utf-8", headers)
        return HttpAnswer(template.status, to_json(body, fallback=str), headers=headers)

    return fill


def _fill(template: Any, scope: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        whole = PATH.fullmatch(template.strip())
        return _at(whole[1], scope) if whole else _fill_text(template, scope)
    if isinstance(template, dict):
        return {key: _fill(entry, scope) for key, entry in template.items()}
    if isinstance(template, list | tuple):
        return [_fill(item, scope) for item in template]
    return template


def _fill_text(template: str, scope: Mapping[str, Any]) -> str:
    def text(found: re.Match[str]) -> str:
        value = _at(found[1], scope)
        if value is None:
            return ""
        return value if isinstance(value, str) else to_json(value, fallback=str).decode()

    return PATH.sub(text, template)


def _at(path: str, scope: Mapping[str, Any]) -> Any:
    """The value at a path. The event is taken by now: what is not there is null, no failure."""
    value: Any = scope
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _header_text(text: str) -> bytes:
    return re.sub(r"[^\x20-\x7e]", "?", text).encode()
