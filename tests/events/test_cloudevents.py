"""One reader of CloudEvents for JSON, batches and headers; what was saved reads as itself."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temporal_runner.plugin import (
    BATCH_MEDIA_TYPE,
    STRUCTURED_MEDIA_TYPE,
    Event,
    event_from_headers,
    event_from_json,
    events_from_batch,
    events_from_message,
    is_cloudevent,
    parse_json,
)

LEAST: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def as_headers(attributes: dict[str, Any], prefix: str = "ce-") -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in attributes.items()}


# What is refused, and what is not. ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"specversion": "0.3"}, "specversion is '0.3'"),
        ({"specversion": "1.1"}, "specversion is '1.1'"),
        ({"specversion": 1.0}, "specversion is 1.0"),
        ({"specversion": None}, "specversion is missing"),
        ({"id": ""}, "id has to be a text that is not empty"),
        ({"id": 7}, "id has to be"),
        ({"source": None}, "source has to be"),
        ({"type": []}, "type has to be"),
        ({"subject": 7}, "subject has to be a text"),
        ({"dataschema": {}}, "dataschema has to be a text"),
        ({"datacontenttype": True}, "datacontenttype has to be a text"),
        ({"datacontenttype": "json"}, "datacontenttype is 'json'"),
        ({"datacontenttype": "a/b c"}, "datacontenttype is 'a/b c'"),
        ({"id": "\ud800"}, "id has a lone surrogate"),
        ({"tenant": "\udfff"}, "tenant has a lone surrogate"),
        ({"Tenant": "x"}, "'Tenant' is no attribute's name"),
        ({"ten_ant": "x"}, "'ten_ant' is no attribute's name"),
        ({"tenant\n": "x"}, r"'tenant\n' is no attribute's name"),
        ({"": "x"}, "'' is no attribute's name"),
        ({"tenant": 1.0}, "tenant has to be a text, a whole number, true or false, not a fraction"),
        ({"tenant": []}, "not an array"),
        ({"tenant": {}}, "not an object"),
        ({"headers": {"a": 1}}, "headers has to be"),
        ({"tenant": 2**31}, "tenant is a number of more than 32 bits"),
        ({"data": 1, "data_base64": "MQ=="}, "data and data_base64 exclude each other"),
        ({"data": None, "data_base64": "MQ=="}, "data and data_base64 exclude each other"),
        ({"data_base64": 7}, "data_base64 is not base64"),
        ({"data_base64": "M Q=="}, "data_base64 is not base64"),
        ({"data_base64": "ü"}, "data_base64 is not base64"),
        ({"data_base64": in_base64(b"{"), "datacontenttype": "text/json"}, "data is not JSON"),
        ({"data_base64": in_base64(b"\xff"), "datacontenttype": "text/plain"}, "data is not UTF-8"),
    ],
)
def test_what_is_no_cloudevent_is_refused_with_its_attribute(
    wrong: dict[str, Any], says: str
) -> None:
    """The message names the attribute, on one line that can be written to a log."""
    with pytest.raises(ValueError) as raised:
        event_from_json({**LEAST, **wrong})
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    str(raised.value).encode()


@pytest.mark.parametrize("value", [None, 7, "x", [], [LEAST]])
def test_what_is_no_object_is_refused(value: object) -> None:
    """One event is an object, a batch an array."""
    with pytest.raises(ValueError, match="a CloudEvent is a JSON object"):
        event_from_json(value)


@pytest.mark.parametrize(
    "text",
    [
        "noon",
        "2026-01-31",
        "2026-01-31T12:00",
        "2026-01-31T12:00:00",
        "20260131T120000Z",
        "2026-01-31T12:00:00+01",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T24:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:00:00,5Z",
        "٢026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "9999-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_time_that_rfc_3339_has_not_is_refused(text: str) -> None:
    """One without a zone among them: it would be another time on another machine."""
    with pytest.raises(ValueError, match=r"^time is "):
        event_from_json({**LEAST, "time": text})


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("2026-01-31 12:00:00-00:00", NOON),
        ("2026-01-31T13:30:00+01:30", NOON),
        ("2026-01-31T12:00:00.1234567891Z", NOON + timedelta(microseconds=123456)),
        ("2026-01-31T11:59:60Z", NOON),
    ],
)
def test_every_form_of_rfc_3339_is_a_time(text: str, time: datetime) -> None:
    """Small letters, a blank, any zone, more digits than we keep, a leap second."""
    assert event_from_json({**LEAST, "time": text}).time == time


@pytest.mark.parametrize("name", ["subject", "time", "datacontenttype", "dataschema"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_an_optional_attribute_that_is_empty_is_none(name: str, nothing: str | None) -> None:
    """It refuses no event."""
    assert event_from_json({**LEAST, name: nothing}) == event_from_json(LEAST)


def test_null_is_no_attribute() -> None:
    """Of extensions too, and of data_base64."""
    with_nulls = {**LEAST, "tenant": None, "Tenant": None, "data_base64": None}
    assert event_from_json(with_nulls) == event_from_json(LEAST)


def test_extensions_have_the_types_of_cloudevents() -> None:
    """Texts (empty ones too), whole numbers of 32 bits, true and false."""
    extensions = {"a1": "", "b": -(2**31), "c": True, "dataschema": "https://x.example/s"}
    assert event_from_json({**LEAST, **extensions}).extensions == extensions


# Data. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media_type", "content", "data"),
    [
        ("application/json", b'{"n": 1}', {"n": 1}),
        ("application/vnd.x+json; charset=utf-8", b"[1]", [1]),
        ("Text/JSON", b'"x"', "x"),
        ("text/plain", b"[1]", "[1]"),
        ("text/csv; charset=utf-8", "grüß".encode(), "grüß"),
        ("application/xml", b"<a/>", "<a/>"),
        ("image/svg+xml", b"<a/>", "<a/>"),
        ("application/octet-stream", b"text", in_base64(b"text")),
        ("image/png", b"\x89PNG", in_base64(b"\x89PNG")),
        ("application/json", b"", None),
        (None, b'{"n": 1}', {"n": 1}),
        (None, "grüß".encode(), "grüß"),
        (None, b"\xff", in_base64(b"\xff")),
        (None, b"", None),
    ],
)
def test_binary_data_is_what_its_media_type_says(
    media_type: str | None, content: bytes, data: object
) -> None:
    """JSON, text, or base64 of what is neither: the same from `data_base64` and from a body."""
    structured = {**LEAST, "datacontenttype": media_type, "data_base64": in_base64(content)}
    event = event_from_json(structured)
    assert event.data == data
    headers = as_headers(LEAST) | ({"content-type": media_type} if media_type else {})
    assert event_from_headers(headers, content) == event


@pytest.mark.parametrize("media_type", [None, "application/json", "text/plain", "image/png"])
@pytest.mark.parametrize("data", [None, 1, "1", '{"a": 1}', {"a": [None]}])
def test_data_in_json_is_taken_as_it_stands(media_type: str | None, data: object) -> None:
    """A text that looks like JSON stays a text."""
    assert event_from_json({**LEAST, "datacontenttype": media_type, "data": data}).data == data


# Headers. -----------------------------------------------------------------------------------------


def test_headers_of_http_are_percent_decoded_once() -> None:
    """As the binding has it; quoted as older versions did; what is not encoded stays."""
    given = {
        "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80",
        "CE-Once": "%2541",
        "ce-quoted": ' "a \\"b\\" %41" ',
        "ce-loose": "100% of %zz",
        "x-other": "x",
    }
    event = event_from_headers(as_headers(LEAST) | given, b"")
    assert event.subject == "Euro € 😀"
    assert event.extensions == {"once": "%41", "quoted": 'a "b" A', "loose": "100% of %zz"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ce-subject": "%C0%A0"}, "subject is percent-encoded, but not from UTF-8"),
        ({"ce-subject": "%ED%A0%80"}, "subject is percent-encoded, but not from UTF-8"),
        ({"ce-subject": "Grüße"}, "subject has characters that have to be percent-encoded"),
        ({"ce-datacontenttype": "text/plain"}, "datacontenttype stands in content-type"),
        ({"ce-data": "x"}, "'data' is no attribute's name"),
        ({"ce-": "x"}, "'' is no attribute's name"),
        ({"ce-a-b": "x"}, "'a-b' is no attribute's name"),
        ({"Ce-Id": "2"}, "twice"),
        ({"content-type": "png"}, "datacontenttype is 'png'"),
    ],
)
def test_wrong_headers_are_refused(wrong: dict[str, str], says: str) -> None:
    """Each with the attribute's name."""
    with pytest.raises(ValueError) as raised:
        event_from_headers(as_headers(LEAST) | wrong, b"")
    assert says in str(raised.value)


def test_headers_of_kafka_are_utf_8_and_nothing_else() -> None:
    """The prefix is `ce_`; values are bytes, and a percent sign is one."""
    headers = {name: value.encode() for name, value in as_headers(LEAST, "ce_").items()} | {
        "ce_subject": "Grüße %41".encode(),
        "content-type": b"text/plain",
    }
    event = event_from_headers(headers, b"x", prefix="ce_")
    assert (event.subject, event.data, event.datacontenttype) == ("Grüße %41", "x", "text/plain")
    with pytest.raises(ValueError, match="id is not UTF-8"):
        event_from_headers(headers | {"ce_id": b"\xff"}, b"", prefix="ce_")


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
@pytest.mark.parametrize("time", [NOON, NOON.replace(tzinfo=None), "2026-01-31T12:00:00Z"])
def test_properties_of_amqp_may_have_types_of_its_own(prefix: str, time: object) -> None:
    """Numbers, booleans and times as they are, or as texts; names may be bytes."""
    attributes = {**LEAST, "time": time, "count": 7, "urgent": True, "id": b"1"}
    headers = {name.encode(): value for name, value in as_headers(attributes, prefix).items()}
    event = event_from_headers(headers, b"", prefix=prefix)
    assert (event.id, event.time) == ("1", NOON)
    assert event.extensions == {"count": 7, "urgent": True}


# Messages. ----------------------------------------------------------------------------------------


def test_a_messages_content_type_says_its_mode() -> None:
    """Structured, a batch, or else binary; in any case and with parameters."""
    event = event_from_json(LEAST)
    body = json.dumps(LEAST).encode()
    cases: list[tuple[dict[Any, Any], bytes, list[Event]]] = [
        ({"Content-Type": f"{STRUCTURED_MEDIA_TYPE}; charset=utf-8"}, body, [event]),
        ({b"content-type": STRUCTURED_MEDIA_TYPE.upper().encode()}, body, [event]),
        ({"content-type": BATCH_MEDIA_TYPE}, b"[%b, %b]" % (body, body), [event, event]),
        ({"content-type": BATCH_MEDIA_TYPE}, b"[]", []),
        (as_headers(LEAST), b"", [event]),
    ]
    for headers, content, events in cases:
        assert is_cloudevent(headers)
        assert events_from_message(headers, content) == events
    assert is_cloudevent(as_headers(LEAST, "ce_"), prefix="ce_")


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "application/json"}, {"ce-id": "1"}, {b"\xff": b"\xff"}]
)
def test_other_messages_are_no_cloudevents(headers: dict[Any, Any]) -> None:
    """They do not say that they are."""
    assert not is_cloudevent(headers)


def test_a_batch_says_which_event_is_wrong() -> None:
    """By its place, and none of it is taken."""
    with pytest.raises(ValueError, match=r"^\[1\]: id has to be"):
        events_from_batch([LEAST, {**LEAST, "id": ""}])
    with pytest.raises(ValueError, match="is a JSON array"):
        events_from_batch(LEAST)
    with pytest.raises(ValueError, match="the body is not JSON"):
        events_from_message({"content-type": BATCH_MEDIA_TYPE}, b"[")


# What was saved. ----------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
texts = st.text(min_size=1)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.builds(
        Event,
        id=texts,
        source=texts,
        type=texts,
        subject=st.none() | texts,
        time=st.none() | st.datetimes(timezones=zones),
        datacontenttype=st.sampled_from(
            [
                None,
                "application/json",
                "text/plain",
                "image/png",
                "application/x-www-form-urlencoded",
            ]
        ),
        data=json_values,
        extensions=st.fixed_dictionaries(
            {},
            optional={
                "traceparent": st.text(),
                "headers": st.dictionaries(st.text(), st.text()),
                "count": st.integers(-(2**31), 2**31 - 1),
                "urgent": st.booleans(),
            },
        ),
    )
)
def test_a_saved_event_is_the_event(event: Event) -> None:
    """What `to_dict` writes reads back as the same event, whatever is in it."""
    written = parse_json(json.dumps(event.to_dict()))
    assert event_from_json(written) == event
    assert Event.from_dict(written) == event


@pytest.mark.parametrize(
    "received",
    [
        {"data": {"a": 1}},
        {"data": "text", "datacontenttype": "text/plain"},
        {"data": None},
        {},
        {"data_base64": in_base64(b"\x89PNG"), "datacontenttype": "image/png"},
        {"data_base64": in_base64(b"\xff")},
        {"time": "2026-01-31T12:00:00.1234567Z"},
        {"subject": ""},
    ],
)
def test_what_was_received_and_saved_reads_as_itself(received: dict[str, Any]) -> None:
    """With the headers that a webhook puts beside it; null data and no data are the same."""
    headers = {"user-agent": "Zoë".encode().decode("latin-1"), "x-ä": "\x84"}
    event = replace(event_from_json({**LEAST, **received}), extensions={"headers": headers})
    assert event_from_json(parse_json(json.dumps(event.to_dict()))) == event


def test_a_lone_surrogate_is_told_before_temporal_is_asked() -> None:
    """No workflow could be given it: neither in an attribute nor in the data."""
    for id_, data in (("\ud800", None), ("1", "\ud800")):
        event = Event(id=id_, source="/s", type="t", data=data)
        with pytest.raises(ValueError):
            parse_json(json.dumps(event.to_dict()))
    with pytest.raises(ValueError, match="a lone surrogate"):
        parse_json('"\ud800"')
