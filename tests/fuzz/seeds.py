"""Nasty inputs by target: where fuzzing begins, and what it has found before.

A seed that once broke something stays here, with what it broke.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parents[1] / "data"
_DEEP = 5000
_WORKER = b"workers: {w: {task_queue: q, workflows: [a:B]}}\n"


def _saved(folder: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted((_DATA / folder).glob("*.json"))]


def _bomb() -> bytes:
    """A billion laughs."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


def _merge_bomb() -> bytes:
    """The same with merge keys: each mapping takes in the one before it twice."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: *a{n - 1}}}" for n in range(1, 40)]
    return "\n".join(lines).encode()


CONFIG = [
    b"",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbflog: {level: info}",
    b"- a\n- b",
    _bomb(),
    _merge_bomb(),
    b"a: &a [*a]",
    b"a: &a {<<: *a}",
    b"<<: {<<: {<<: 1}}",
    b"[" * _DEEP,
    b"{a: " * _DEEP,
    b"- " * _DEEP,
    b"? " * _DEEP,
    b"!" * _DEEP,
    b"a: " + b"9" * 100_000,
    b"shutdown_timeout: " + b"9" * 100_000 + b"d",
    b"shutdown_timeout: " + b"1d" * 50_000,
    b"shutdown_timeout: " + b"9" * 5000 + b"x",
    b"dead_letters: {max_size: " + b"9" * 5000 + b"GB}",
    b"dead_letters: {max_size: 0." + b"0" * 5000 + b"1GB}",
    b"admin: {port: 1e308}\nlog: {level: 1e999}",
    b"admin: {port: -0}\nshutdown_timeout: -0",
    b"log: {level: info}\nlog: {level: info}",
    b"workers: {w: {}, w: {}}",
    b"extends: config.yaml",
    b"extends: [config.yaml, ., /dev/null]",
    b"extends: /dev/zero",
    b"extends: /dev/tty",
    b"temporal: {config_file: /dev/zero, api_key: {from_file: /dev/zero}}\n" + _WORKER,
    b"plugins: [/dev/null, ., nothing.py]",
    b"import_paths: ['\\0']\n" + _WORKER,
    b"temporal: {api_key: {from_file: '\\0'}}\n" + _WORKER,
    b"temporal: {address: 'h:99999999'}\n" + _WORKER,
    "log: {level: \u2028\u2029\u0085\u200b\ufeff}".encode(),
    "l\u00f6g: \ud7ff".encode(),
    b'x: "\\ud800"',
    b"x: '${" + b"A:-${" * 500 + b"}" * 501 + b"'",
    b"x: '" + b"${A:-" * 5000 + b"'",
    b"x: '" + b"${{" * 5000 + b"'",
    b"workers: {'': {}, ' ': {}, \"a\\nb\": {}}",
    b"listeners: {l: {source: webhook, options: {verify: {scheme: none}}, routes: [{start: X,"
    b" task_queue: q, when: '" + b"(" * 2000 + b"'}]}}",
    b"listeners: {l: {source: webhook, options: {verify: {scheme: none}}, routes: [{start: X,"
    b" task_queue: q, when: '" + b"!" * 5000 + b"true'}]}}",
    b"listeners: {l: {source: webhook, options: {path: /\\x00, verify: {scheme: x}}, routes: []}}",
]

EXPRESSION = [
    b"", b"event", b"event.", b"event.data.a[0]", b"event..data", b"'", b'"', b"(", b")" * 100,
    b"(" * 1000, b"!" * 5000, b"-" * 5000, b"[" * 1000, b"event.data.a.map(x, x)", b"1 / 0",
    b"9223372036854775808", b"-9223372036854775808", b"0x", b"1e999", b"b'\\377'", b"r'\\'",
    b"'\\ud800'", b"'\\U00110000'", b"duration('9999999999999h')", b"timestamp('x')",
    b"event.data.a.map(a, b, c, d)", b"has(event)", b"has(event.data.a[0])", b"type(type(1))",
    b"{1: 2, 1: 3}", b"{[]: 1}", b"a ? b", b"1 + 'a'", b"event.data.a.matches('(')",
    b"'a'.matches('" + b"(a{1000})" * 3 + b"')", b"dyn(1)", b"event[event]", b"//", b"event // x",
    b"event.data.a.all(event, event)", b"\xff", "\u00e9v\u00e9nt".encode(), b"1" * 5000,
    b"event.data.a + " * 500 + b"[]", b"google.protobuf.Struct{}", b"event{}", b"Msg{a: 1}",
    b"event.data.big", b"event.data.big + 1", b"string(event.data.big)", b"[event.data.big]",
    b"event.data.map(k, double(event.data.big))", b"event.data.a.contains(event.data.big)",
    b"timestamp(253402300799) + duration('9999h')", b"timestamp(-99999999999)", b"double('1e999')",
    b"'a'.matches('['", b"duration('1') + timestamp('')", b"event.data.a-b.c", b"'''a'''",
    b"r'''\\",
]  # fmt: skip

_EVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}


def _cloud_events() -> list[bytes]:
    changes: list[dict[str, Any]] = [
        {"time": "2026-01-31T12:00:00Z", "data": {"order": 1, "items": [1, 2]}},
        {"time": "2026-01-31T12:00:00"},  # without a zone
        {"time": "0001-01-01T00:00:00+23:59"},
        {"time": "9999-12-31T23:59:59-23:59"},
        {"time": 5},
        {"data_base64": "é"},
        {"data_base64": "AA=="},
        {"data_base64": base64.b64encode(b"[" * _DEEP).decode()},
        {"data_base64": base64.b64encode(b"NaN").decode()},
        {"data_base64": 5, "datacontenttype": 5},
        {"data_base64": "e30=", "datacontenttype": True},  # was answered 500
        {"datacontenttype": []},
        {"data_base64": "e30=", "datacontenttype": "application/json"},
        {"data_base64": "W05hTl0=", "datacontenttype": "application/json"},
        {"id": ""},
        {"id": "a" * 5000},
        {"id": "\0\n\x1b[31m"},
        {"source": "\u2028", "subject": "\ufffe"},
        {"specversion": "0.3"},
        {"specversion": []},
        {"data": None, "written": 1, "extensions": {}, "event": {}},
        {"data": 10**400},
        {"data": 1e308},
    ]
    return [json.dumps({**_EVENT, **change}).encode() for change in changes]


_DEEP_JSON = [b"[" * depth + b"]" * depth for depth in (90, 150, 195, 199, 200, 201, 1001)]
JSON = [
    b"", b"null", b"{}", b"[]", b"[[]]", b'""', b"NaN", b"[Infinity]", b"-", b"1e999", b"-0.0",
    b'{"a": 1, "a": 2}', b'"\\ud800"', b'{"\\udfff": 1}', b'"\\u0000"', b"\xff", b'"\xed\xa0\x80"',
    b"[" * 100_000, b'{"a":' * 100_000, b"9" * 4000, b"9" * 5000, b"-" + b"9" * 20,
    b"1" + b"0" * 400,
    b'{"order": ' + b"9" * 30 + b', "items": [' + b"1," * 2000 + b"1]}",
    b'{"items": [' + b"1," * 100_000 + b"1]}", b"[" + b"{}," * 20_000 + b"{}]",
    b"\xef\xbb\xbf{}", b" {} ", b"{} {}", *_DEEP_JSON, *_cloud_events(),
    b"[" + b",".join(_cloud_events()) + b"]",
]  # fmt: skip
"""JSON, and what is nearly it."""

_RECORD = (
    b'{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"},'
)
_DETAIL = (
    b'{"bucket": {"name": "b"}, "reason": [], "deletion-type": {},'
    b' "object": {"size": false, "key": '
)
S3 = [
    *JSON,
    *_saved("s3"),
    b'{"Records": []}',
    b'{"Records": [{}, null, 5, []]}',
    b'{"Records": [' + b"{}," * 100_000 + b"{}]}",  # a delivery each would fill the memory
    b'{"Records": [' + _RECORD + b'"object": {"key": "%FF"}}}]}',
    b'{"Records": [' + _RECORD + b'"object": {"key": "a%00%0A", "size": 1e400}}}]}',
    b'{"Records": [' + _RECORD + b'"object": {"key": "k", "sequencer": "' + b"F" * 5000 + b'"}}}]}',
    b'{"Records": [' + _RECORD + b'"object": {"key": "k"}}, "eventTime": 1e300}]}',
    b'{"Records": [' + _RECORD + b'"object": {"key": "k"}}, "eventTime": "0001-01-01T00:00:00"}]}',
    b'{"TopicArn": 1, "Type": [], "Message": {}}',
    b'{"TopicArn": "t", "Type": "Notification", "Message": "' + b"[" * _DEEP + b'"}',
    b'{"detail-type": [], "source": "aws.s3", "detail": {"object": {"key": "k"}, "bucket": {}}}',
    b'{"detail-type": {}, "source": {}, "detail": []}',
    b'{"detail-type": "Object Created", "source": "aws.s3", "detail": ' + _DETAIL + b'"k/"}}}',
    b'{"detail-type": "Object Deleted", "source": "aws.s3", "detail": ' + _DETAIL + b'"k"}}}',
]

AZURE = [
    *JSON,
    *[base64.b64encode(one) for one in JSON],
    *_saved("azure"),
    *[base64.b64encode(one) for one in _saved("azure")],
    b"=", b"====", b"e30", b"e30=\n", "\ufeff{}".encode(), "é".encode(),
    b"[" + b"0," * 30_000 + b"0]",  # a delivery each would fill the memory
    *[
        json.dumps(
            {"id": "1", "topic": "t", "eventType": "Microsoft.Storage.BlobCreated",
             "data": {"url": url, "eTag": '"0x1"', "api": "PutBlob"}}
        ).encode()
        for url in ("http://[", "https://a.blob.core.windows.net/c/%FF", "https://[::1]/a/c/b",
                    "https://a.blob.core.windows.net/c/\0", "//c/b", "https://:0/a/b/c",
                    "https://h:99999/a/b/c", "https://" + "a" * 5000 + "/b/c")
    ],
]  # fmt: skip

_JSON_HEADERS = b"\ncontent-type: application/json\n"


def _with_json(more: bytes = b"") -> list[bytes]:
    return [_JSON_HEADERS + more + b"\n" + body for body in JSON]


REQUEST = [
    *_with_json(),
    b"\ncontent-type: application/x-www-form-urlencoded\n\n" + b"&".join([b"a=1"] * 2000),
    b"\ncontent-type: application/x-www-form-urlencoded\n\na=%ff&b=%",
    b"\ncontent-type: application/x-www-form-urlencoded\n\npayload=%5B",
    b"\ncontent-type: application/x-www-form-urlencoded\n\n",
    b"\ncontent-type: application/x-www-form-urlencoded\ncontent-encoding: gzip\n\n\x1f\x8b",
    b"\ncontent-type: multipart/form-data; boundary=x\n\n--x\r\n\r\n--x--",
    _JSON_HEADERS + b"content-encoding: gzip\n\n" + gzip.compress(b" " * 5_000_000),
    _JSON_HEADERS + b"content-encoding: gzip\n\n" + gzip.compress(b"{}") * 2,
    _JSON_HEADERS + b"content-encoding: gzip\n\n" + gzip.compress(b"{}")[:-3],
    _JSON_HEADERS + b"content-encoding: gzip, gzip\n\n" + gzip.compress(b"{}"),
    _JSON_HEADERS + b"content-encoding: \xe9\n\n{}",
    b"\ncontent-type: application/json; charset=\"\xff\"\n\n{}",
    b"\ncontent-type: " + b"x" * 60_000 + b"/json\n\n{}",
    b"&".join(b"a%d=1" % n for n in range(500)) + _JSON_HEADERS + b"\n{}",  # was answered 500
    b"code=%ff&key=%00&code=" + _JSON_HEADERS + b"\n{}",
    b"%" + _JSON_HEADERS + b"\n{}",
    b"code=a;b;c&&&=&=" + _JSON_HEADERS + b"\n{}",
    *[
        _JSON_HEADERS + b"ce-specversion: 1.0\nce-id: " + own_id + b"\nce-source: s\nce-type: t\n"
        b"ce-time: " + time + b"\nce-tenant: %c3%28\nce-data: x\nce-: y\n\n{}"
        for own_id, time in (
            (b"1", b"2026-01-31T12:00:00Z"), (b"%00%0a", b"2026-01-31"), (b"%ff", b"0001-01-01"),
            (b"\xe9", b"9999-12-31T23:59:59-23:59"), (b"%F0%9F%98%80", b"x"),
        )
    ],
    *[b"\ncontent-type: application/cloudevents+json\n\n" + one for one in _cloud_events()],
    b"\ncontent-type: application/cloudevents-batch+json\n\n[" + b",".join(_cloud_events()) + b"]",
    b"\ncontent-type: application/cloudevents-batch+json\n\n[]",
    b"\ncontent-type: application/cloudevents-batch+json\n\n["
    + b",".join([_cloud_events()[0]] * 6000) + b"]",
    b"\ncontent-type: text/plain\nce-specversion: 1.0\nce-id: 1\nce-source: s\nce-type: t\n\n\xff",
    _JSON_HEADERS + b"traceparent: \xff\n\n{}",
    _JSON_HEADERS + b"x-github-event: push\nx-github-delivery: \xe9\n\n"
    b'{"repository": {"full_name": []}}',
    _JSON_HEADERS + b"x-gitlab-event: \xff\nidempotency-key: \n\n{}",
    _JSON_HEADERS + b"x-hub-signature-256: sha256=\xe9\n\n{}",
    _JSON_HEADERS + b"x-sig: \xff\nx-gitlab-token: \xff\nx-api-key: \xff\n\n{}",
    _JSON_HEADERS + b"stripe-signature: t=,v1=,=,,t=\xb2,v1\n\n{}",
    _JSON_HEADERS + b"stripe-signature: t=" + b"9" * 5000 + b",v1=x\n\n{}",
    _JSON_HEADERS + b"stripe-signature: " + b"v1=a," * 12_000 + b"\n\n{}",
    _JSON_HEADERS + b"webhook-id: \xff\nwebhook-timestamp: 1\n"
    b"webhook-signature: v1,\xff v1 ,\n\n{}",
    _JSON_HEADERS + b"x-slack-signature: v0=\xe9\nx-slack-request-timestamp: \xb2\n\n{}",
    *[
        _JSON_HEADERS + b"authorization: " + given + b"\n\n{}"
        for given in (b"Basic \xe9", b"Basic =", b"Basic " + b"A" * 60_000, b"basic", b"Bearer .",
                      b"Bearer a.b.c", b"Bearer \xff.\xff.\xff", b"Bearer " + b"." * 60_000)
    ],
    _JSON_HEADERS + b'\n{"id": "evt", "created": 99999999999, "data": {"object": {"id": []}}}',
    _JSON_HEADERS + b'\n{"id": "evt", "created": true}',
    _JSON_HEADERS + b'\n{"type": "url_verification", "challenge": {"a": [1]}}',
    _JSON_HEADERS + b'\n{"type": "event_callback", "event": [], "event_id": 5}',
    _JSON_HEADERS + b'\n[{"id": "1", "topic": "t", "eventType":'
    b' "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": 5}}]',
    _JSON_HEADERS + b'\n[{"id": "1", "topic": "t", "eventType": "e", "eventTime": "2026-01-01"}]',
    b"\ncontent-type: text/plain\n\n" + b'{"Type": "Notification", "Message": "[[[", "Subject": 5}',
    b"\n\n" + b'{"Type": "UnsubscribeConfirmation", "Token": "t", "SubscribeURL": "http://["}',
    b"\n\n" + json.dumps(
        {"Type": "Notification", "MessageId": "1", "Message": "m", "SignatureVersion": "2",
         "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders", "Signature": "\xe9",
         "SigningCertURL": "http://127.0.0.1:1/SimpleNotificationService-0123456789abcdef.pem",
         "Timestamp": "2026-01-01T00:00:00"}
    ).encode(),
]  # fmt: skip

TOKEN = [
    b'{"alg": "HS256"}\n{"iss": "i", "aud": "a", "exp": 9999999999}',
    *[
        b'{"alg": "HS256"}\n{"iss": "i", "aud": "a", "exp": ' + exp + b"}"
        for exp in (b"1e400", b'"x"', b"null", b"[]", b"-1", b"9" * 400, b"true", b"1e308")
    ],
    b'{"alg": "HS256"}\n{"iss": [], "aud": {}, "exp": 9999999999}',
    b'{"alg": "HS256"}\n{"iss": "i", "aud": [1, "a"], "exp": 9999999999, "nbf": 1e999, "iat": "x"}',
    b'{"alg": "HS256"}\n' + b"[" * 20_000,
    b'{"alg": "HS256"}\n{"iss": "i", "aud": "a", "exp": 9999999999, "jti": 5, "sub": []}',
    b"[" * 20_000 + b"\n{}",
    b'{"alg": []}\n{}', b'{"alg": {}}\n{}', b'{"alg": "none"}\n{}', b'{"alg": "RS256"}\n{}',
    b'{"alg": "HS256", "kid": []}\n{}', b'{"alg": "HS256", "crit": ["x"]}\n{}',
    b'{"alg": "HS256", "b64": false}\n{}', b'{"alg": "RS256", "kid": "\\ud800"}\n{}',
    b'{"alg": "RS256", "kid": {}}\n{}', b"\xff\n\xff", b"9" * 5000 + b"\n{}", b"null\nnull",
]  # fmt: skip

KEY_SET = [
    *JSON,
    b'{"keys": []}', b'{"keys": [{}]}', b'{"keys": [null]}', b'{"keys": {}}', b'{"keys": "x"}',
    b'{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB", "kid": []}]}',
    b'{"keys": [{"kty": "RSA", "n": "\\u00e9", "e": "=", "kid": "a"}]}',
    b'{"keys": [{"kty": "RSA", "n": 5, "e": null}]}',
    b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": ""}]}',
    b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
    b'{"keys": [{"kty": "EC", "crv": [], "x": "AA", "y": "AA"}]}',
    b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}',
    b'{"keys": [{"kty": [], "use": []}]}', b'{"keys": [{"kty": "RSA", "alg": "RS256", "n": "' +
    b"A" * 200_000 + b'", "e": "AQAB"}]}',
    b'{"keys": [{"kty": "RSA", "d": "AQ", "n": "AQ", "e": "AQ"}]}',
]  # fmt: skip


def seeds_of(target: str) -> Sequence[bytes]:
    """The seeds of a target."""
    if target.startswith(("verify ", "read ")):
        return REQUEST
    return _OF[target]


_OF: Mapping[str, Sequence[bytes]] = {
    "config": CONFIG,
    "expression": EXPRESSION,
    "saved_events": JSON,
    "s3": S3,
    "azure": AZURE,
    "token": TOKEN,
    "key_set": KEY_SET,
}
