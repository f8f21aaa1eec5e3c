"""CloudEvents in binary, structured and batch mode, and Event Grid with its handshakes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from temporal_runner.plugin import Accepted, Delivery
from tests.webhook.support import OPEN, SECRET, accept, check_problem, listening, sign_github

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json; charset=utf-8"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "https://github.com/cloudevents",
    "type": "com.github.pull_request.opened",
    "subject": "123",
    "time": "2018-04-05T17:31:00Z",
    "comexampleothervalue": 5,
    "datacontenttype": "application/json",
    "data": {"number": 123},
}


def _check(event: Any) -> None:
    assert event.id == "A234-1234-1234"
    assert event.source == "https://github.com/cloudevents"
    assert event.type == "com.github.pull_request.opened"
    assert event.subject == "123"
    assert event.time.isoformat() == "2018-04-05T17:31:00+00:00"
    assert event.datacontenttype == "application/json"
    assert event.data == {"number": 123}
    assert str(event.extensions["comexampleothervalue"]) == "5"


async def test_structured_mode() -> None:
    """An event in one JSON object arrives as it is."""
    async with listening() as hooks:
        assert (await hooks.post(EVENT, content_type=STRUCTURED)).status_code == 202
    _check(hooks.event)


async def test_binary_mode() -> None:
    """An event whose attributes are headers and whose data is the body arrives as it is."""
    own = EVENT.keys() - {"data", "datacontenttype"}  # that one is the header content-type
    headers = {f"ce_{name}": str(EVENT[name]) for name in own}
    async with listening() as hooks:
        assert (await hooks.post(EVENT["data"], **headers)).status_code == 202
    _check(hooks.event)


async def test_binary_mode_decodes_headers_and_takes_any_data() -> None:
    """Header values are percent-decoded; the data may be text, or bytes, or not be there."""
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t"}
    async with listening() as hooks:
        await hooks.post(
            "Grüße", content_type="text/plain", ce_subject="Euro%20%E2%82%AC", **headers
        )
        await hooks.post(b"", **headers)
        await hooks.post(b"\x89PNG", content_type="image/png", **headers)
    text, nothing, picture = hooks.events
    assert (text.data, text.subject) == ("Grüße", "Euro €")
    assert nothing.data is None
    assert picture.data == base64.b64encode(b"\x89PNG").decode()  # as in structured mode


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ce_specversion": "0.3"}, "specversion"),
        ({"ce_id": ""}, "id"),
        ({"ce_time": "2026-01-31T12:00:00"}, "time"),
        ({"ce_subject": "%C0%A0"}, "subject"),
        ({"ce_datacontenttype": "text/plain"}, "datacontenttype"),
        ({"ce_some_thing": "x"}, "some-thing"),
        ({"content_type": "png"}, "datacontenttype"),
    ],
)
async def test_binary_mode_with_a_wrong_header(wrong: dict[str, str], named: str) -> None:
    """An attribute that is not as the specification has it is 400, and is named."""
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t"}
    async with listening() as hooks:
        check_problem(await hooks.post(b"{}", **{**headers, **wrong}), 400, named)
    assert not hooks.events


async def test_batch_mode() -> None:
    """Each event of a batch is delivered; the answer says what became of each."""
    batch = [{**EVENT, "id": f"e-{number}"} for number in range(3)]
    async with listening() as hooks:
        answer = await hooks.post(batch, content_type=BATCH)
        empty = await hooks.post([], content_type=BATCH)
    assert answer.status_code == 202
    assert [event.id for event in hooks.events] == ["e-0", "e-1", "e-2"]
    assert [one["id"] for one in answer.json()["events"]] == ["e-0", "e-1", "e-2"]
    assert (empty.status_code, empty.json()) == (200, {"status": "ignored"})


async def test_batch_with_an_event_that_is_not_taken() -> None:
    """One event that could not be taken makes the whole batch come again: 503, not 2xx."""

    async def settle(delivery: Delivery) -> None:
        match delivery.event.id:
            case "e-1":
                await delivery.nack("Temporal is not available", retry_after=3)
            case "e-2":
                await delivery.reject("it has no order")
            case "e-3":
                await delivery.ack(Accepted(action="start", duplicate=True))
            case _:
                await accept(delivery)

    async with listening(settle=settle) as hooks:
        batch = [{**EVENT, "id": f"e-{number}"} for number in range(4)]
        answer = await hooks.post(batch, content_type=BATCH)
        rejected = await hooks.post(batch[2:], content_type=BATCH)
    check_problem(answer, 503, "send it again later")
    assert answer.headers["retry-after"] == "3"
    statuses = [one["status"] for one in answer.json()["events"]]
    assert statuses == ["accepted", "nacked", "rejected", "duplicate"]
    check_problem(rejected, 422, "it has no order")


async def test_too_many_events_in_a_batch() -> None:
    """A batch of more than 5000 events is 413, and none of them is delivered."""
    small = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    async with listening() as hooks:
        check_problem(await hooks.post([small] * 5001, content_type=BATCH), 413)
    assert not hooks.events


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type"])
async def test_missing_attribute(missing: str) -> None:
    """An event without one of the four attributes that all have is 400."""
    event = {name: value for name, value in EVENT.items() if name != missing}
    async with listening() as hooks:
        check_problem(await hooks.post(event, content_type=STRUCTURED), 400, missing)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-01-31T12:00:00"}, "time"),
        ({"tenant": {"id": 1}}, "tenant"),
        ({"someThing": "x"}, "someThing"),
        ({"data_base64": base64.b64encode(b"{}").decode()}, "data_base64"),
        ({"data": ..., "data_base64": "???"}, "data_base64"),
        ({"data": ..., "data_base64": base64.b64encode(b"{").decode()}, "data"),
    ],
)
async def test_wrong_attribute(wrong: dict[str, Any], named: str) -> None:
    """An event with an attribute that cannot be read is 400, and the attribute is named."""
    event = {name: value for name, value in {**EVENT, **wrong}.items() if value is not ...}
    async with listening() as hooks:
        check_problem(await hooks.post(event, content_type=STRUCTURED), 400, named)
        check_problem(await hooks.post([event], content_type=BATCH), 400, named)


async def test_data_base64() -> None:
    """Binary data that is JSON or text is decoded, and any other stays as it was sent."""
    async with listening() as hooks:
        for media_type, content in (("application/json", b"[1]"), ("image/png", b"\x89PNG")):
            event = {**EVENT, "datacontenttype": media_type}
            del event["data"]
            event["data_base64"] = base64.b64encode(content).decode()
            await hooks.post(event, content_type=STRUCTURED)
    assert hooks.events[0].data == [1]
    assert hooks.events[1].data == base64.b64encode(b"\x89PNG").decode()


async def test_a_batch_keeps_its_own_ids_and_our_headers() -> None:
    """Headers that the config names, or an extension called so, do not make events alike."""
    batch = [{**EVENT, "id": f"e-{number}", "headers": "forged"} for number in range(2)]
    async with listening(OPEN, id_header="X-Id") as hooks:
        assert (await hooks.post(batch, content_type=BATCH, x_id="one")).status_code == 202
    assert [event.id for event in hooks.events] == ["e-0", "e-1"]
    assert hooks.events[0].extensions["headers"]["x-id"] == "one"


async def test_a_sender_with_its_own_form_is_not_taken_for_cloudevents() -> None:
    """Where the signature covers the body alone, headers ce-… do not change the event."""
    body = json.dumps(EVENT).encode()
    headers = {"ce_specversion": "1.0", "ce_id": "forged", "ce_source": "/s", "ce_type": "t"}
    async with listening({"verify": {"scheme": "github", "secrets": [SECRET]}}) as hooks:
        await hooks.post(body, **sign_github(body), **headers)
    assert hooks.event.id != "forged"


# Asking before sending. --------------------------------------------------------------------------


async def test_options_of_an_allowed_origin() -> None:
    """An origin that the config allows is told so."""
    async with listening(OPEN, allowed_origins=["sender.example"]) as hooks:
        allowed = await hooks.http.options(
            hooks.url, headers={"WebHook-Request-Origin": "sender.example"}
        )
        other = await hooks.http.options(
            hooks.url, headers={"WebHook-Request-Origin": "else.example"}
        )
        check_problem(await hooks.http.options(hooks.url), 405)
    assert allowed.status_code == 200
    assert allowed.headers["webhook-allowed-origin"] == "sender.example"
    assert allowed.headers["webhook-allowed-rate"] == "*"
    check_problem(other, 403)


GRID = {"verify": {"scheme": "event_grid", "secrets": [SECRET, "newer-secret"], "query": "code"}}
GRID_EVENT: dict[str, Any] = {
    "topic": "/subscriptions/x/resourceGroups/y/providers/Microsoft.Storage/storageAccounts/z",
    "subject": "/blobServices/default/containers/c/blobs/new-file.txt",
    "eventType": "Microsoft.Storage.BlobCreated",
    "eventTime": "2017-06-26T18:41:00.9584103Z",
    "id": "831e1650-001e-001b-66ab-eeb76e069631",
    "data": {"api": "PutBlockList", "contentLength": 524288},
    "dataVersion": "",
    "metadataVersion": "1",
}


async def test_event_grid_validation_event() -> None:
    """Event Grid's validation event is answered with its code, by the secret alone."""
    validation = {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/x",
        "subject": "",
        "data": {"validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2018-01-25T22:12:19.4556811Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }
    async with listening(GRID) as hooks:
        answer = await hooks.post([validation], query=f"?code={SECRET}")
        check_problem(await hooks.post([validation], query="?code=wrong"), 401)
        check_problem(await hooks.post([validation]), 401, "code is missing")
        broken = {**validation, "data": {}}
        check_problem(await hooks.post([broken], query=f"?code={SECRET}"), 400, "validationCode")
    assert answer.status_code == 200
    assert answer.json() == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}
    assert not hooks.events


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [1, 0, 2], [0, 0, 1]])
@pytest.mark.parametrize("takes", [True, False])
async def test_event_grid_validation_and_events_share_a_batch(
    order: list[int], takes: bool
) -> None:
    """The question is answered once the events beside it are taken; else all come again."""

    async def refuse(delivery: Delivery) -> None:
        await delivery.nack("not now")

    entries = [
        {
            "id": str(number),
            "topic": "/subscriptions/x",
            "subject": "",
            "data": {"validationCode": "c"} if number == 0 else {"n": number},
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"
            if number == 0
            else "Some.Event",
            "eventTime": "2018-01-25T22:12:19.4556811Z",
            "metadataVersion": "1",
            "dataVersion": "1",
        }
        for number in order
    ]
    async with listening(GRID, accept if takes else refuse) as hooks:
        answer = await hooks.post(entries, query=f"?code={SECRET}")
        if takes:
            assert answer.json() == {"validationResponse": "c"}
            assert {one.id for one in hooks.events} == {str(one) for one in order if one}
        else:
            assert answer.status_code == 503


async def test_event_grid_options_handshake() -> None:
    """Event Grid's OPTIONS for CloudEvents is answered where its URL has the secret."""
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    async with listening(GRID) as hooks:
        answer = await hooks.http.options(hooks.url + f"?code={SECRET}", headers=origin)
        check_problem(await hooks.http.options(hooks.url, headers=origin), 401)
        other = {"WebHook-Request-Origin": "else.example"}
        refused = await hooks.http.options(hooks.url + f"?code={SECRET}", headers=other)
        check_problem(refused, 403)
    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"


async def test_event_grid_schema() -> None:
    """Events in Event Grid's own schema become CloudEvents, with either secret."""
    async with listening(GRID) as hooks:
        answer = await hooks.post(
            [GRID_EVENT, {**GRID_EVENT, "id": "2"}], query="?code=newer-secret"
        )
        check_problem(await hooks.post([{"id": "1"}], query="?code=newer-secret"), 400)
    assert answer.status_code == 202
    event = hooks.events[0]
    assert event.id == GRID_EVENT["id"]
    assert event.source == GRID_EVENT["topic"]
    assert event.type == "Microsoft.Storage.BlobCreated"
    assert event.subject == GRID_EVENT["subject"]
    assert event.data == GRID_EVENT["data"]
    assert event.time is not None
    assert hooks.events[1].id == "2"


@pytest.mark.parametrize("media_type", ["application/json", STRUCTURED])
async def test_event_grid_cloudevents(media_type: str) -> None:
    """Event Grid's CloudEvents arrive as they are, whatever the media type says."""
    async with listening(GRID) as hooks:
        answer = await hooks.post(EVENT, query=f"?code={SECRET}", content_type=media_type)
    assert answer.status_code == 202
    _check(hooks.event)


async def test_event_grid_secret_in_a_header() -> None:
    """The secret may be a delivery property, which is not in the event."""
    verify = {"scheme": "event_grid", "secrets": [SECRET], "header": "X-Grid-Pass"}
    async with listening({"verify": verify}) as hooks:
        check_problem(await hooks.post([GRID_EVENT]), 401)
        assert (await hooks.post([GRID_EVENT], x_grid_pass=SECRET)).status_code == 202
        origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}
        assert (await hooks.http.options(hooks.url, headers=origin)).status_code == 200
    assert SECRET not in repr(hooks.events)
