"""Bodies beside plain JSON: forms, gzip, and what each sender's request becomes."""

from __future__ import annotations

import gzip
import json
import zlib
from urllib.parse import urlencode

import pytest

from tests.webhook.support import (
    OPEN,
    SECRET,
    check_problem,
    listening,
    sign_github,
    sign_slack,
    sign_stripe,
)

FORM = "application/x-www-form-urlencoded"


async def test_form() -> None:
    """A form's fields are the data; one that is there twice is a list."""
    body = "order=A-1&item=tea&item=milk&note=&city=K%C3%B6ln"
    async with listening() as hooks:
        assert (await hooks.post(body, content_type=FORM)).status_code == 202
    assert hooks.event.data == {
        "order": "A-1",
        "item": ["tea", "milk"],
        "note": "",
        "city": "Köln",
    }
    assert hooks.event.datacontenttype == FORM


@pytest.mark.parametrize("body", [b"order", b"a=%FF", b"\xff=1", b"&".join([b"a=1"] * 1001)])
async def test_broken_form(body: bytes) -> None:
    """What is no form, no UTF-8, or has more than 1000 fields is 400."""
    async with listening() as hooks:
        check_problem(await hooks.post(body, content_type=FORM), 400, "not a form")


async def test_form_over_the_limit() -> None:
    """A form is capped as every body is."""
    async with listening(OPEN, max_body=50) as hooks:
        check_problem(await hooks.post("a=" + "x" * 60, content_type=FORM), 413)


async def test_github_json_in_a_form() -> None:
    """GitHub's other content type, a form with the JSON in `payload`, gives the same data."""
    verify = {"scheme": "github", "secrets": [SECRET]}
    body = urlencode({"payload": json.dumps({"repository": {"full_name": "a/b"}})}).encode()
    async with listening({"verify": verify}) as hooks:
        answer = await hooks.post(body, content_type=FORM, **sign_github(body))
    assert answer.status_code == 202
    assert hooks.event.data == {"repository": {"full_name": "a/b"}}
    assert hooks.event.subject == "a/b"


async def test_gzip() -> None:
    """A gzip body is expanded; its signature is over what was sent."""
    verify = {"scheme": "github", "secrets": [SECRET]}
    body = gzip.compress(b'{"order": 1}')
    async with listening({"verify": verify}) as hooks:
        answer = await hooks.post(body, content_encoding="gzip", **sign_github(body))
        assert answer.status_code == 202
        check_problem(
            await hooks.post(body, content_encoding="gzip", **sign_github(b'{"order": 1}')), 401
        )
    assert hooks.event.data == {"order": 1}


async def test_gzip_bomb() -> None:
    """A body that would expand over the limit is 413, however small it is."""
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 60_000
    async with listening(OPEN, max_body="64KiB") as hooks:
        check_problem(await hooks.post(bomb, content_encoding="gzip"), 413)


async def test_gzip_at_the_limit() -> None:
    """A body that expands to exactly max_body is taken, one byte more is not."""
    async with listening(OPEN, max_body=100) as hooks:
        for size, status in ((98, 202), (99, 413)):
            body = gzip.compress(json.dumps("x" * size).encode())
            assert (await hooks.post(body, content_encoding="gzip")).status_code == status


@pytest.mark.parametrize(
    "body",
    [b"{}", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"more", zlib.compress(b"{}")],
    ids=["plain", "cut", "more", "zlib"],
)
async def test_broken_gzip(body: bytes) -> None:
    """What is not one whole gzip stream is 400."""
    async with listening() as hooks:
        check_problem(await hooks.post(body, content_encoding="gzip"), 400, "gzip")


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
async def test_other_encodings(encoding: str) -> None:
    """A body compressed in another way is 415, and the answer says which is taken."""
    async with listening() as hooks:
        answer = await hooks.post({}, content_encoding=encoding)
    check_problem(answer, 415)
    assert answer.headers["accept-encoding"] == "gzip"


async def test_stripes_event() -> None:
    """Stripe's id, type, time and object are the event's."""
    body = json.dumps(
        {
            "id": "evt_1",
            "type": "invoice.paid",
            "created": 1753000000,
            "data": {"object": {"id": "in_1"}},
        }
    ).encode()
    async with listening({"verify": {"scheme": "stripe", "secrets": [SECRET]}}) as hooks:
        assert (await hooks.post(body, **sign_stripe(body))).status_code == 202
        nothing = b'{"object": "list"}'
        check_problem(await hooks.post(nothing, **sign_stripe(nothing)), 400, "no id")
    event = hooks.event
    assert (event.id, event.type, event.subject) == ("evt_1", "invoice.paid", "in_1")
    assert event.time is not None
    assert event.time.timestamp() == 1753000000


SLACK = {"verify": {"scheme": "slack", "secrets": [SECRET]}}


async def test_slack_url_verification() -> None:
    """Slack's question whether the URL is ours is answered, signed as it is, and is no event."""
    body = b'{"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMm"}'
    async with listening(SLACK) as hooks:
        answer = await hooks.post(body, **sign_slack(body))
        assert answer.status_code == 200
        assert answer.json() == {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMm"}
        check_problem(await hooks.post(body, **sign_slack(body, "wrong")), 401)
    assert not hooks.events


async def test_slack_slash_command() -> None:
    """A slash command comes as a form: its trigger is the ID, the command the subject."""
    body = b"command=%2Fweather&text=94070&trigger_id=13345224609.738474920.8088930838d88f008e0"
    async with listening(SLACK) as hooks:
        answer = await hooks.post(body, content_type=FORM, **sign_slack(body))
    assert answer.status_code == 202
    event = hooks.event
    assert event.id == "13345224609.738474920.8088930838d88f008e0"
    assert (event.type, event.subject) == ("slash_command", "/weather")
    assert event.data["text"] == "94070"


async def test_slack_interaction() -> None:
    """A click comes as JSON in a form: its trigger is the ID, its type the type."""
    click = {"type": "block_actions", "trigger_id": "12321423423.333649436676.d8c1bb837935"}
    body = urlencode({"payload": json.dumps(click)}).encode()
    async with listening(SLACK) as hooks:
        answer = await hooks.post(body, content_type=FORM, **sign_slack(body))
    assert answer.status_code == 202
    assert (hooks.event.id, hooks.event.type) == (click["trigger_id"], "block_actions")


async def test_trace_of_the_sender() -> None:
    """A W3C traceparent is handed on, for the workflow's memo."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with listening() as hooks:
        await hooks.post({}, traceparent=trace)
    assert hooks.event.extensions["traceparent"] == trace
