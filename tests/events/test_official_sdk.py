"""Our reader of CloudEvents against the official SDK's, over saved and generated events.

Where one takes what the other refuses, the difference is in a list below with the sentence of the
specification (1.0.2) that says who is right. Any other difference fails.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from hypothesis import example, given, settings
from hypothesis import strategies as st

from temporal_runner.plugin import (
    STRUCTURED_MEDIA_TYPE,
    Event,
    event_from_headers,
    event_from_json,
)
from tests.support import ROOT

LEAST: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
SAVED = [
    entry
    for file in sorted((ROOT / "tests" / "data").rglob("*.json"))
    for content in [json.loads(file.read_text(encoding="utf-8"))]
    for entry in (content if isinstance(content, list) else [content])
    if isinstance(entry, dict) and "specversion" in entry
]
OPTIONAL = ("subject", "time", "datacontenttype", "dataschema")
RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)


class Reading(NamedTuple):
    """What a reader makes of an event; `time` is left out where the event has none."""

    id: str
    source: str
    type: str
    subject: str | None
    datacontenttype: str | None
    time: datetime | None
    extensions: dict[str, Any]
    data: Any


Raw = Mapping[str, Any]


def ours(event: Event, raw: Raw) -> Reading:
    return Reading(
        event.id, event.source, event.type, event.subject, event.datacontenttype, event.time,
        dict(event.extensions), event.data,
    )  # fmt: skip


def theirs(event: BaseCloudEvent, raw: Raw) -> Reading:
    core = {"specversion", "id", "source", "type", "subject", "datacontenttype", "time"}
    extensions = {n: v for n, v in event.get_attributes().items() if n not in core}
    # The SDK puts in the time of reading where an event has none.
    time = event.get_time() if raw.get("time") else None
    return Reading(
        event.get_id(), event.get_source(), event.get_type(), event.get_subject(),
        event.get_datacontenttype(), time, extensions, event.get_data(),
    )  # fmt: skip


def read_ours(raw: Raw) -> Reading | None:
    try:
        return ours(event_from_json(raw), raw)
    except ValueError:
        return None


def read_theirs(raw: Raw) -> Reading | None:
    body = json.dumps(raw).encode()
    try:
        event = from_http_event(HTTPMessage({"content-type": STRUCTURED_MEDIA_TYPE}, body))
    except Exception:  # whatever it raises, it does not take it
        return None
    return theirs(event, raw)


@dataclass(frozen=True)
class Difference:
    """One kind of event that one of the two readers takes.

    Attributes:
        sentence: Of the specification.
        is_one: Whether an event is of this kind.
        example: One that is.
    """

    sentence: str
    is_one: Callable[[Raw], bool]
    example: Raw


def _extensions(raw: Raw) -> list[Any]:
    core = {*LEAST, *OPTIONAL, "data", "data_base64"}
    return [value for name, value in raw.items() if name not in core]


def _has_surrogate(raw: Raw) -> bool:
    texts = [*raw.keys(), *(value for value in raw.values() if isinstance(value, str))]
    return any("\ud800" <= sign <= "\udfff" for text in texts for sign in text)


def _is_base64(text: Any) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        return False
    return True


def _is_json(raw: Raw) -> bool:
    try:
        json.loads(base64.b64decode(raw["data_base64"]))
    except (TypeError, ValueError):
        return False
    return True


THE_SDK_IS_LAXER = [
    Difference(
        "The following attributes are REQUIRED to be present in all CloudEvents: id … specversion",
        lambda raw: "id" not in raw or "specversion" not in raw,
        {"specversion": "1.0", "source": "/s", "type": "t"},
    ),
    Difference(
        "Compliant event producers MUST use a value of 1.0 when referring to this version",
        lambda raw: raw.get("specversion") == "0.3",
        {**LEAST, "specversion": "0.3"},
    ),
    Difference(
        "time: If present, MUST adhere to the format specified in RFC 3339",
        lambda raw: isinstance(raw.get("time"), str) and not RFC_3339.fullmatch(raw["time"]),
        {**LEAST, "time": "20260131T120000Z"},
    ),
    Difference(
        "datacontenttype: If present, MUST adhere to the format specified in RFC 2046",
        lambda raw: "/" not in (raw.get("datacontenttype") or "/"),
        {**LEAST, "datacontenttype": "json"},
    ),
    Difference(
        "All context attribute values MUST be of one of the types listed above",
        lambda raw: any(isinstance(value, float | list | dict) for value in _extensions(raw)),
        {**LEAST, "tenant": {"id": 1}},
    ),
    Difference(
        "Event formats … MUST only use Integer values in this range: -2,147,483,648 to"
        " +2,147,483,647",
        lambda raw: any(
            isinstance(value, int) and not -(2**31) <= value < 2**31 for value in _extensions(raw)
        ),
        {**LEAST, "tenant": 2**31},
    ),
    Difference(
        "attribute names MUST consist of lower-case letters ('a' to 'z') or digits ('0' to '9')",
        lambda raw: any(name.endswith("\n") for name in raw),
        {**LEAST, "tenant\n": "1"},
    ),
    Difference(
        'code points identifying Surrogates … Thus "\\uDEAD" is invalid',
        _has_surrogate,
        {**LEAST, "tenant": "\udead"},
    ),
    Difference(
        "the presence of the data and data_base64 members is mutually exclusive",
        lambda raw: "data" in raw and raw.get("data_base64") is not None,
        {**LEAST, "data": None, "data_base64": "MQ=="},
    ),
    Difference(
        "Binary: Base64 encoding per RFC4648",
        lambda raw: "data_base64" in raw and not _is_base64(raw["data_base64"]),
        {**LEAST, "data_base64": "M\nQ=="},
    ),
    Difference(
        "(data_base64) If present, the datacontenttype MUST reflect the format of the original"
        " binary data",
        lambda raw: (
            raw.get("datacontenttype") in {"application/json", "text/plain"}
            and _is_base64(raw.get("data_base64"))
        ),
        {**LEAST, "datacontenttype": "application/json", "data_base64": "ew=="},
    ),
]
THE_SDK_IS_STRICTER = [
    Difference(
        "When decoding attributes and a null value is encountered, it MUST be treated as the"
        " equivalent of unset or omitted",
        lambda raw: any(value is None for name, value in raw.items() if name != "data"),
        {**LEAST, "subject": None},
    ),
    Difference(
        "OPTIONAL (subject, time, datacontenttype, dataschema): we read an empty one as unset,"
        " where the letter says that it MUST be non-empty if present",
        lambda raw: any(raw.get(name) == "" for name in OPTIONAL),
        {**LEAST, "subject": ""},
    ),
    Difference(
        "RFC 3339, 5.6: time-second = 2DIGIT; 00-60 based on leap second rules",
        lambda raw: ":60" in str(raw.get("time")),
        {**LEAST, "time": "2016-12-31T23:59:60Z"},
    ),
]


def check_data(raw: Raw, mine: Any, sdk: Any) -> None:
    """The same data; the SDK leaves what was base64 as bytes, which we look into."""
    if isinstance(sdk, bytes):
        kind = (raw.get("datacontenttype") or "").partition(";")[0]
        if not sdk:
            assert mine is None
        elif kind == "text/plain":
            assert mine == sdk.decode()
        elif kind == "application/json" or (not kind and _is_json(raw)):
            assert mine == json.loads(sdk)
        else:
            assert mine == base64.b64encode(sdk).decode() or (not kind and mine == sdk.decode())
    else:
        assert mine == sdk


def check(raw: Raw, mine: Reading | None, sdk: Reading | None) -> None:
    """Both take it and read the same, or the difference is a known one."""
    if mine is None and sdk is None:
        return
    if mine is None:
        assert any(one.is_one(raw) for one in THE_SDK_IS_LAXER), f"the SDK takes it: {raw}"
    elif sdk is None:
        assert any(one.is_one(raw) for one in THE_SDK_IS_STRICTER), f"the SDK refuses it: {raw}"
    else:
        unset = {name: value for name, value in sdk.extensions.items() if value is not None}
        assert mine[:-2] == sdk[:-2]
        assert mine.extensions == unset
        check_data(raw, mine.data, sdk.data)


def test_there_are_saved_events() -> None:
    """What the test below goes through is not empty."""
    assert SAVED


@pytest.mark.parametrize("raw", SAVED)
def test_saved_events_read_the_same(raw: Raw) -> None:
    """Both take them all."""
    mine, sdk = read_ours(raw), read_theirs(raw)
    assert mine is not None
    assert sdk is not None
    check(raw, mine, sdk)


texts = st.text(max_size=5)
maybe = st.sampled_from
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "specversion": maybe(["1.0", "1.0", "1.0", "0.3", "1.1", "", 1.0, None]),
        "id": maybe(["1", "ü", "", 7, None]) | texts,
        "source": maybe(["/s", "https://x.example", "", None]) | texts,
        "type": maybe(["t", "", {}]) | texts,
        "subject": maybe(["A-1", "", None, 7]) | texts,
        "time": st.datetimes().map(lambda time: time.isoformat() + "Z")
        | maybe(["2026-01-31T12:00:00.1234567+01:00", "2026-01-31", "2026-01-31T12:00:00", "noon",
                 "2026-01-31 12:00:00Z", "2026-W05-6T12Z", "2016-12-31T23:59:60Z",
                 "2026-01-31T24:00:00Z", "2026-01-31t12:00:00z", "", None, 7]),
        "datacontenttype": maybe(["application/json", "text/plain", "image/png",
                                  "application/json; charset=utf-8", "json", "", None, 7]),
        "dataschema": maybe(["https://x.example/schema", "#", "", None]),
        "data": st.recursive(ANYTHING, lambda inner: st.lists(inner, max_size=2), max_leaves=3),
        "data_base64": st.binary(max_size=6).map(lambda content: base64.b64encode(content).decode())
        | maybe([base64.b64encode(b'{"a": [1]}').decode(), "M Q==", "?", "", None, 7]),
        "traceparent": texts,
        "tenant": ANYTHING | st.lists(ANYTHING, max_size=1) | st.just({"id": 1}),
    },
)  # fmt: skip
KEYS = sorted({*LEAST, *OPTIONAL, "data", "data_base64", "traceparent", "tenant"})
MOSTLY_SOUND = st.tuples(EVENTS, st.sets(st.sampled_from(KEYS), max_size=3)).map(
    lambda drawn: LEAST | {name: value for name, value in drawn[0].items() if name in drawn[1]}
)
NAMES = st.dictionaries(st.text("abcXYZ019-_\n.ü", max_size=4), texts, max_size=2)


@settings(max_examples=500)
@given(MOSTLY_SOUND | EVENTS, NAMES)
@example(LEAST, {})
def test_generated_events_read_the_same(raw: dict[str, Any], more: dict[str, str]) -> None:
    """Sound ones and unsound ones, in JSON."""
    raw = {**more, **raw}
    check(raw, read_ours(raw), read_theirs(raw))


@pytest.mark.parametrize("difference", THE_SDK_IS_LAXER, ids=lambda one: one.sentence[:40])
def test_where_the_sdk_is_laxer(difference: Difference) -> None:
    """Each is still one: the SDK takes the example, and we do not."""
    assert difference.is_one(difference.example)
    assert read_theirs(difference.example) is not None
    assert read_ours(difference.example) is None


@pytest.mark.parametrize("difference", THE_SDK_IS_STRICTER, ids=lambda one: one.sentence[:40])
def test_where_the_sdk_is_stricter(difference: Difference) -> None:
    """Each is still one: we take the example, and the SDK does not."""
    assert difference.is_one(difference.example)
    assert read_theirs(difference.example) is None
    assert read_ours(difference.example) is not None


# Headers. -----------------------------------------------------------------------------------------

ATTRIBUTES = st.fixed_dictionaries(
    {
        **{name: st.just(value) for name, value in LEAST.items()},
        "id": st.text(min_size=1, max_size=5),
    },
    optional={
        "subject": st.text(min_size=1, max_size=5),
        "time": st.datetimes().map(lambda time: time.isoformat() + "Z"),
        "tenant": st.text('a% "\\€😀', max_size=5),
    },
)
BODIES = st.sampled_from(
    [(b"", None), (b'{"a": [1]}', "application/json"), (b"[1", "text/plain"), (b"x", None),
     ("grüß".encode(), "text/plain"), (b"1", None)]
)  # fmt: skip


@given(ATTRIBUTES, BODIES)
def test_generated_headers_of_http_read_the_same(
    raw: dict[str, str], content: tuple[bytes, str | None]
) -> None:
    """Values percent-encoded as the binding has it, and the data as its media type says."""
    body, media_type = content
    headers = {f"ce-{name}": quote(value) for name, value in raw.items()}
    headers |= {"content-type": media_type} if media_type else {}
    sdk = theirs(from_http_event(HTTPMessage(headers, body)), raw)
    assert ours(event_from_headers(headers, body), raw) == sdk


@given(ATTRIBUTES, BODIES)
def test_generated_headers_of_kafka_read_the_same(
    raw: dict[str, str], content: tuple[bytes, str | None]
) -> None:
    """Values are UTF-8, and a percent sign is one."""
    body, media_type = content
    headers = {f"ce_{name}": value.encode() for name, value in raw.items()}
    headers |= {"content-type": media_type.encode()} if media_type else {}
    sdk = theirs(from_kafka_event(KafkaMessage(headers, None, body)), raw)
    assert ours(event_from_headers(headers, body, prefix="ce_"), raw) == sdk


@pytest.mark.parametrize(
    ("header", "value", "sentence"),
    [
        ("ce-datacontenttype", "a/b", "a ce-datacontenttype HTTP header MUST NOT also be present"),
        ("ce-subject", "%C0%A0", "byte sequences which are invalid in UTF-8 MUST be rejected"),
        ("ce-subject", "Grüße", "HTTP headers MUST only use printable characters from … US-ASCII"),
        ("ce-specversion", "0.3", "producers MUST use a value of 1.0"),
        ("content-type", "json", "datacontenttype MUST adhere to the format of RFC 2046"),
        ("ce-time", "20260131T120000Z", "time MUST adhere to the format specified in RFC 3339"),
    ],
)
def test_where_the_sdk_is_laxer_with_headers(header: str, value: str, sentence: str) -> None:
    """Each is still one: the SDK takes it, and we do not."""
    headers = {f"ce-{name}": text for name, text in LEAST.items()} | {header: value}
    assert from_http_event(HTTPMessage(headers, b"")) is not None, sentence
    with pytest.raises(ValueError):
        event_from_headers(headers, b"")


def test_where_the_sdk_reads_headers_otherwise() -> None:
    """ "Any HTTP header value MUST first be unescaped with respect to double-quoted strings"."""
    headers = {f"ce-{name}": text for name, text in LEAST.items()} | {"ce-subject": '"a \\"b\\""'}
    assert event_from_headers(headers, b"").subject == 'a "b"'
    assert from_http_event(HTTPMessage(headers, b"")).get_subject() == '"a \\"b\\""'
