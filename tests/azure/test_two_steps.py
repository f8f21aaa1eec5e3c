"""Uploads in two steps: one event each, and what is left out is counted and told."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from temporal_runner.plugin import Accepted
from temporal_runner_azure.queue import QueueSource
from tests.azure.support import Open, Storage, receive, receive_none


@pytest.mark.parametrize(
    ("first", "last"), [("CreateFile", "FlushWithClose"), ("SftpCreate", "SftpCommit")]
)
async def test_an_upload_in_two_steps_is_one_event(
    storage: Storage, caplog: pytest.LogCaptureFixture, first: str, last: str
) -> None:
    """However often its first step is told; one that is never closed is counted."""
    caplog.set_level(logging.INFO)
    event = storage.put("a.txt")
    for api, etag in ((first, "0x1"), (first, "0x2"), (last, "0x3")):
        event["data"] |= {"api": api, "eTag": etag}
        storage.send(event)
    async with Open(storage.queue_options()) as source:
        [delivery] = await receive(source)
        assert delivery.event.data["api"] == last
        await delivery.ack(Accepted())
        await receive_none(source)
        assert cast(QueueSource, source).left_out == 2
    assert storage.count() == 0
    assert sum("are left out" in line for line in caplog.messages) == 1


async def test_first_steps_are_events_where_they_are_wanted(storage: Storage) -> None:
    """include_created_files: nothing is left out."""
    event = storage.put("a.txt")
    event["data"]["api"] = "SftpCreate"
    storage.send(event)
    async with Open(storage.queue_options(include_created_files=True)) as source:
        [delivery] = await receive(source)
        await delivery.ack(Accepted())
        assert cast(QueueSource, source).left_out == 0
