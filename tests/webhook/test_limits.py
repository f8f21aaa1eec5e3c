"""Limits of a listener: requests at a time, bytes held at a time, events in a time."""

from __future__ import annotations

import asyncio
import time

from temporal_runner.plugin import Delivery
from temporal_runner_webhook.config import RateOptions
from temporal_runner_webhook.limits import Rate
from temporal_runner_webhook.request import Refusal
from tests.webhook.support import OPEN, accept, check_problem, listening


class Gate:
    """Holds deliveries until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0

    async def __call__(self, delivery: Delivery) -> None:
        self.waiting += 1
        await self.opened.wait()
        await accept(delivery)

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.waiting < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_too_many_requests_at_a_time() -> None:
    """Requests over max_concurrent are 429 with Retry-After; when others are done it goes on."""
    gate = Gate()
    async with listening(OPEN, gate, max_concurrent=2) as hooks:
        posting = [asyncio.create_task(hooks.post({"order": number})) for number in range(2)]
        await gate.holds(2)
        answer = await hooks.post({})
        check_problem(answer, 429, "too many requests")
        assert answer.headers["retry-after"] == "1"
        gate.opened.set()
        assert {(await one).status_code for one in posting} == {202}
        assert (await hooks.post({})).status_code == 202


async def test_too_many_bytes_at_a_time() -> None:
    """Bodies that would fill more than max_buffered are 429, until others have gone."""
    gate = Gate()
    body = b'"' + b"x" * 6000 + b'"'
    async with listening(OPEN, gate, max_buffered=10_000) as hooks:
        posting = asyncio.create_task(hooks.post(body))
        await gate.holds(1)
        check_problem(await hooks.post(body), 429, "fill the room")
        gate.opened.set()
        assert (await posting).status_code == 202
        assert (await hooks.post(body)).status_code == 202


async def test_refused_requests_give_their_room_back() -> None:
    """After refusals and senders that went away there is as much room as before."""
    async with listening(OPEN, max_concurrent=1, max_buffered=10_000, max_body=9000) as hooks:
        for _ in range(5):
            assert (await hooks.post(b"x" * 8000)).status_code == 400
            assert (await hooks.post(b"x" * 9500)).status_code == 413
            _, writer = await asyncio.open_connection(hooks.host, hooks.port)
            writer.write(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            writer.close()
        async with asyncio.timeout(5):
            body = b'"' + b"x" * 8000 + b'"'
            while (await hooks.post(body)).status_code != 202:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # the senders that went away


async def test_rate() -> None:
    """More events than the rate are 429; Retry-After says when there is room."""
    async with listening(OPEN, rate={"events": 2, "per": "1s"}) as hooks:
        answers = [await hooks.post({}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        check_problem(answers[2], 429, "more events")
        await asyncio.sleep(float(answers[2].headers["retry-after"]))
        assert (await hooks.post({})).status_code == 202


async def test_rate_does_not_count_what_is_refused() -> None:
    """Requests that prove nothing do not use up the room of those that do."""
    verify = {"scheme": "api_key", "keys": ["the-right-key"]}
    async with listening({"verify": verify}, rate={"events": 1, "per": "1h"}) as hooks:
        for _ in range(3):
            check_problem(await hooks.post({}, x_api_key="wrong"), 401)
        assert (await hooks.post({}, x_api_key="the-right-key")).status_code == 202


def _status(rate: Rate, events: int) -> int:
    try:
        rate.take(events)
    except Refusal as refusal:
        return refusal.status
    return 202


def test_burst_and_batches() -> None:
    """A burst is as large as the config says; a batch over it is taken and leaves a debt."""
    now = time.monotonic()
    options = RateOptions.model_validate_json('{"events": 10, "per": "1s", "burst": 5}')
    rate = Rate(options, clock=lambda: now)
    assert [_status(rate, 1) for _ in range(6)] == [202] * 5 + [429]
    now += 0.3
    assert (_status(rate, 4), _status(rate, 3), _status(rate, 1)) == (429, 202, 429)
    now += 100
    assert (_status(rate, 25), _status(rate, 1)) == (202, 429), "a batch over the burst"
    now += 2.05
    assert _status(rate, 1) == 429, "its debt"
    now += 0.1
    assert _status(rate, 1) == 202
