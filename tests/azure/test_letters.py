"""Dead letters that may be too large for their queue: they fit, or the runner keeps them."""

from __future__ import annotations

import json

import pytest

from temporal_runner.plugin import NotKept
from temporal_runner_azure.errors import MessageTooLarge
from temporal_runner_azure.messages import encode, written
from tests.azure.support import Open, Storage, receive


async def test_a_letter_is_no_longer_than_it_came(storage: Storage) -> None:
    """Japanese of 30 KB fits beside its reason, in one message."""
    event = storage.put("a.txt")
    event["data"]["note"] = "日本語" * 3700
    storage.send_text(json.dumps(event, ensure_ascii=False))
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        await delivery.reject("never")
    [letter] = storage.poisoned()
    assert letter["body"]["data"]["note"] == "日本語" * 3700


async def test_a_reason_too_long_is_shortened(storage: Storage) -> None:
    """An event writes some of its reason, so the reason must not keep the letter out."""
    storage.send(storage.put("a.txt"))
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        await delivery.reject("r" * 100_000)
    assert storage.poisoned()[-1]["reason"] == "r" * 1000


@pytest.mark.parametrize("mode", ["queue", "list"])
async def test_a_letter_too_large_in_any_form_is_the_runners(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Nothing is settled until the runner has kept it; then it is done."""

    async def refuse(*_: object) -> str:
        raise MessageTooLarge("the queue takes no such message")

    storage.send(storage.put("a.txt"))
    named = {"dead_letter_queue": f"{storage.queue_name}-poison"}
    options = storage.queue_options() if mode == "queue" else storage.list_options(**named)
    async with Open(options) as source:
        [delivery] = await receive(source)
        monkeypatch.setattr("temporal_runner_azure.client.Queue.send", refuse)
        assert delivery.keeps_rejected
        with pytest.raises(NotKept, match="own dead letters"):
            await delivery.reject("never")
        assert storage.count() == 1
        delivery.keeps_rejected = False  # as the runner does that has kept it
        await delivery.reject("never")
        if mode == "queue":
            assert storage.count() == 0


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\uffff", "\ud800"])
def test_what_xml_refuses_stays_escaped(character: str) -> None:
    """Whatever an event holds comes out of the letter, and of the rest of a message, again."""
    for content in ({"a": character}, [{"a": character}]):
        assert character not in written(content)
        assert json.loads(written(content)) == content
    assert json.loads(encode([character], like="[")) == [character]
