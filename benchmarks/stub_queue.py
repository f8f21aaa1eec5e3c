"""SQS queues that never run dry, so that the cost of those who empty them shows.

    python -m benchmarks.stub_queue PORT

Answers the four calls that a consumer makes. `GET /give/NAME` and `GET /hold/NAME` open and shut a
queue; both tell how many of its messages have been deleted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from itertools import count
from typing import cast

import uvloop

_EMPTY_AFTER = 0.2
"""Seconds that a receive from a shut queue waits."""
_AT_A_TIME = 10
_MESSAGE = (
    '{"MessageId":"%s-%d","ReceiptHandle":"%s-%d","Attributes":{"ApproximateReceiveCount":"1"},'
    '"Body":%s}'
)
_NOTIFICATION = json.dumps(
    {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-1",
                "eventTime": "2026-01-02T03:04:05.678Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AWS:AIDA"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "uploads",
                    "bucket": {"name": "uploads", "arn": "arn:aws:s3:::uploads"},
                    "object": {
                        "key": "in/@@.pdf",
                        "size": 1024,
                        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                        "sequencer": "0055AED6DCD90281E5",
                    },
                },
            }
        ]
    }
)
_BODY = json.dumps(_NOTIFICATION)

_open: set[str] = set()
_deleted: Counter[str] = Counter()
_numbers = count()


def message_body(name: str) -> str:
    """S3's notification of an object."""
    return _NOTIFICATION.replace("@@", name)


async def _answer(head: str, body: bytes) -> str:
    path = head.split(" ", 2)[1]
    if path.startswith(("/give/", "/hold/")):
        _, what, name = path.split("/")
        (_open.add if what == "give" else _open.discard)(name)
        return str(_deleted[name])
    call = head.partition("amazonsqs.")[2].partition("\r")[0]
    asked = json.loads(body)
    name = asked["QueueUrl"].rpartition("/")[2]
    if call == "receivemessage":
        if name not in _open:
            await asyncio.sleep(_EMPTY_AFTER)
            return "{}"
        messages = ",".join(
            _MESSAGE % (name, number, name, number, _BODY.replace("@@", f"{name}-{number}"))
            for number in (next(_numbers) for _ in range(_AT_A_TIME))
        )
        return f'{{"Messages":[{messages}]}}'
    if call == "deletemessagebatch":
        _deleted[name] += len(asked["Entries"])
        return json.dumps({"Successful": [{"Id": one["Id"]} for one in asked["Entries"]]})
    if call == "deletemessage":
        _deleted[name] += 1
    elif call == "getqueueattributes":
        return '{"Attributes":{"VisibilityTimeout":"30"}}'
    return "{}"


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._data[:end].decode("latin-1").lower()
        told = head.partition("content-length:")[2].partition("\r")[0]
        size = int(told or 0)
        if "100-continue" in head and len(self._data) == end + 4 and size:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._data) < end + 4 + size:
            return
        body, self._data = self._data[end + 4 :], b""
        self._task = asyncio.ensure_future(self._reply(head, body))

    async def _reply(self, head: str, body: bytes) -> None:
        answer = (await _answer(head, body)).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
            b"x-amzn-RequestId: 1\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
        )


async def serve(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
