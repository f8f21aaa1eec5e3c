"""Dead letters that may be too large for their queue: they fit, or the runner keeps them."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from temporal_runner.plugin import Delivery, NotKept, TransientError
from temporal_runner.runtime.listeners.settling import Settler
from temporal_runner.runtime.storage.dead_letters import DeadLetters
from temporal_runner_s3.messages import read_message
from tests.s3.conftest import MakeQueue, OpenSource
from tests.s3.support import (
    Gate,
    Server,
    Sqs,
    eventually,
    notification,
    reason_of,
    receive,
    several,
)

LONG = "日本語" * 60
"""A key of 540 bytes; escaped as JSON can be it is 1,080."""


async def settle(delivery: Delivery, folder: Path, *, max_size: int = 10_000_000) -> list[Any]:
    """Settle as a listener does whose event can never succeed; what the runner keeps then."""
    letters = DeadLetters(folder / "letters.db", max_size=max_size)
    await letters.open()
    log = logging.LoggerAdapter(logging.getLogger("tests.s3"), {})
    plan = cast(Any, SimpleNamespace(name="uploads"))
    settler = Settler(plan, cast(Any, None), letters, Counter(), "accepted", 1, 5.0, log)
    delivery.unreadable = delivery.unreadable or "no such workflow"
    await settler.settle(delivery, hold=False)
    kept = await letters.find()
    await letters.close()
    return kept


@pytest.mark.parametrize("fifo", [False, True])
async def test_a_letter_too_large_for_its_queue_is_the_runners(
    make_queue: MakeQueue, open_source: OpenSource, tmp_path: Path, fifo: bool
) -> None:
    """It goes to the runner's own store and is done: neither lost nor received again."""
    queue = make_queue(fifo=fifo)
    small = make_queue(fifo=fifo, MaximumMessageSize="1024")
    group = {"group": "g", "unique": "u"} if fifo else {}
    queue.send(notification("b", "k" * 1000, "1"), **group)
    source = await open_source(queue_url=queue.url, dead_letter_queue_url=small.url)
    (delivery,) = await receive(source, 1)
    assert delivery.keeps_rejected
    (letter,) = await settle(delivery, tmp_path)
    assert letter.event.subject == "k" * 1000
    assert letter.reason == "no such workflow"
    await eventually(lambda: queue.empty)
    assert small.empty


async def test_a_letter_that_nobody_keeps_comes_again(
    queue: Sqs, make_queue: MakeQueue, open_source: OpenSource, tmp_path: Path
) -> None:
    """Its queue does not take it and the runner's store is full: it stays where it was."""
    small = make_queue(MaximumMessageSize="1024")
    queue.send(notification("b", "k" * 1000, "1"))
    source = await open_source(
        queue_url=queue.url, dead_letter_queue_url=small.url, visibility_timeout="1m"
    )
    (delivery,) = await receive(source, 1)
    assert await settle(delivery, tmp_path, max_size=1) == []
    assert not queue.empty


class Small(Gate):
    """An SQS that counts attributes, as AWS does: a message has 1,000 bytes with them."""

    def _answer(
        self, behind: Server, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if headers.get("X-Amz-Target", "").endswith(".SendMessage") and len(body) > 1500:
            return 400, json.dumps({"__type": "InvalidParameterValue", "message": "long"}).encode()
        return super()._answer(behind, path, headers, body)


async def test_a_letter_that_fits_only_with_a_short_reason_has_one(
    queue: Sqs, dead_letters: Sqs, moto: Server, open_source: OpenSource
) -> None:
    """The attributes count, too: they are shortened before the letter is given up."""
    queue.send(notification("b", "k" * 100, "1"))
    with Small(moto) as small:
        source = await open_source(
            endpoint_url=small.url, queue_url=queue.url, dead_letter_queue_url=dead_letters.url
        )
        (delivery,) = await receive(source, 1)
        await delivery.reject("r" * 5000)
        await source.close()
    (letter,) = dead_letters.drain()
    assert reason_of(letter) == "r" * 100


def test_a_record_alone_is_no_longer_than_it_came() -> None:
    """Several records in a message: each is written as S3 wrote it, unescaped."""
    both = several(notification("b", LONG, "1"), notification("b", LONG, "2"))
    short = json.dumps(json.loads(both), ensure_ascii=False)
    for record in read_message(short):
        assert LONG in record.body
        assert len(record.body.encode()) < len(short.encode())


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\uffff", "\x1f"])
def test_what_a_queue_refuses_stays_escaped(character: str) -> None:
    """Such a character in a key comes out of the letter again."""
    record = read_message(
        several(notification("b", f"a{character}b", "1"), notification("b", "c", "2"))
    )[0]
    assert character not in record.body
    assert json.loads(record.body)["Records"][0]["s3"]["object"]["key"] == f"a{character}b"


async def test_another_refusal_of_the_dead_letter_queue_is_waited_out(
    queue: Sqs, open_source: OpenSource
) -> None:
    """A queue that is not there is no reason to keep the letter elsewhere."""
    queue.send(notification("b", "k", "1"))
    source = await open_source(queue_url=queue.url, dead_letter_queue_url=f"{queue.url}-gone")
    (delivery,) = await receive(source, 1)
    with pytest.raises(TransientError) as raised:
        await delivery.reject("never")
    assert not isinstance(raised.value, NotKept)
