"""How each way of settling a delivery is answered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket

import pytest

from temporal_runner.plugin import Accepted, Delivery, PermanentError
from tests.webhook.support import SECRET, Listening, check_problem, listening, sign_github


async def test_accepted_is_202() -> None:
    """What Temporal accepted is 202, with the workflow's ID and run."""
    async with listening() as hooks:
        answer = await hooks.post({})
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted", "workflow_id": "order-1", "run_id": "run-1"}


async def test_duplicate_is_200() -> None:
    """What Temporal had already is 200, so that the sender is content."""

    async def duplicate(delivery: Delivery) -> None:
        await delivery.ack(Accepted(action="start", workflow_id="order-1", duplicate=True))

    async with listening(settle=duplicate) as hooks:
        answer = await hooks.post({})
    assert answer.status_code == 200
    assert answer.json() == {"status": "duplicate", "workflow_id": "order-1"}


async def test_ignored_is_200() -> None:
    """What no route wants is 200: sending it again would not help."""

    async def ignore(delivery: Delivery) -> None:
        await delivery.ack(Accepted())

    async with listening(settle=ignore) as hooks:
        answer = await hooks.post({})
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})


async def test_rejected_is_422() -> None:
    """What can never succeed is 422 with the reason."""

    async def reject(delivery: Delivery) -> None:
        await delivery.reject("the order has no number")

    async with listening(settle=reject) as hooks:
        check_problem(await hooks.post({}), 422, "the order has no number")


@pytest.mark.parametrize(("retry_after", "header"), [(7.4, "7"), (0.1, "1"), (None, "5")])
async def test_not_now_is_503(retry_after: float | None, header: str) -> None:
    """While Temporal is away it is 503, with Retry-After in whole seconds, at least one."""

    async def not_now(delivery: Delivery) -> None:
        await delivery.nack("10.0.0.7:7233 refused", retry_after=retry_after)

    async with listening(settle=not_now) as hooks:
        answer = await hooks.post({})
    check_problem(answer, 503, "send it again later")
    assert "10.0.0.7" not in answer.text, "an outage's own words are not for the sender"
    assert answer.headers["retry-after"] == header


async def test_no_answer_before_the_delivery_is_settled() -> None:
    """The sender hears nothing until Temporal has the event."""
    settled = asyncio.Event()

    async def slow(delivery: Delivery) -> None:
        await settled.wait()
        await delivery.ack(Accepted(action="start"))

    async with listening(settle=slow) as hooks:
        posting = asyncio.create_task(hooks.post({}))
        done, _ = await asyncio.wait({posting}, timeout=0.3)
        assert not done
        settled.set()
        assert (await posting).status_code == 202


async def _closed(hooks: Listening) -> None:
    """Return when nobody listens any more."""
    with contextlib.suppress(OSError):
        while True:
            _, writer = await asyncio.open_connection(hooks.host, hooks.port)
            writer.close()
            await asyncio.sleep(0.02)


async def test_request_in_flight_is_answered_when_it_stops() -> None:
    """When the source is stopped the port closes, and what is in flight is still answered."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(delivery: Delivery) -> None:
        arrived.set()
        await go_on.wait()
        await delivery.ack(Accepted(action="start"))

    async with listening(settle=slow) as hooks:
        posting = asyncio.create_task(hooks.post({}))
        await arrived.wait()
        hooks.serving.cancel()

        async with asyncio.timeout(5):
            await _closed(hooks)
        go_on.set()
        answer = await posting
        assert answer.status_code == 202
        assert answer.headers["connection"] == "close"


async def test_port_in_use_names_it_and_the_next_step() -> None:
    """A port that another process has is one permanent error which names it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PermanentError, match=f"{port}: Address already in use") as error:
            async with listening(port=port):
                raise AssertionError("it must not listen")
    assert "set another port" in error.value.next_step


async def test_secrets_and_signatures_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Neither secrets nor what proves the sender reach the event, the answer or the log."""
    caplog.set_level("DEBUG")
    verify = {"scheme": "github", "secrets": [SECRET]}
    body = b'{"ref": "main"}'
    signed = sign_github(body)
    shown = []
    async with listening({"verify": verify}) as hooks:
        answer = await hooks.post(
            body, **signed, authorization="Bearer t0ken", cookie="a=c00kie", x_api_key="k3y"
        )
        shown += [answer.text, str(answer.headers), repr(hooks.event), str(hooks.event.to_dict())]
        refused = await hooks.post(body + b" ", **signed)
        shown += [refused.text, str(refused.headers), hooks.source.describe(), caplog.text]
    assert (answer.status_code, refused.status_code) == (202, 401)
    signature = signed["X-Hub-Signature-256"].removeprefix("sha256=")
    for secret in (SECRET, signature, "t0ken", "c00kie", "k3y"):
        assert not any(secret in text for text in shown), secret


async def test_header_of_a_custom_signature_is_not_in_the_event() -> None:
    """The header that a config names for the signature is kept out of the event, by any name."""
    verify = {"scheme": "hmac", "secrets": [SECRET], "header": "X-Acme-Proof"}
    digest = hmac.new(SECRET.encode(), b"{}", hashlib.sha256).hexdigest()
    async with listening({"verify": verify}) as hooks:
        assert (await hooks.post(b"{}", x_acme_proof=digest)).status_code == 202
    assert "x-acme-proof" not in hooks.event.extensions["headers"]
