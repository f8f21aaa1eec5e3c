"""Batch calls: entries go together, and each entry's own outcome is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from temporal_runner.plugin import TransientError
from temporal_runner_s3.batching import Batching, Failure
from temporal_runner_s3.client import Queue
from temporal_runner_s3.config import S3Options
from tests.s3.support import Server, Sqs, notification


class Service:
    """Takes batches; each entry fails as often as it says, for good where it says "never"."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def send(self, entries: Sequence[str]) -> list[Failure | None]:
        self.batches.append(list(entries))
        return [self._outcome(entry) for entry in entries]

    def _outcome(self, entry: str) -> Failure | None:
        if entry == "never":
            return Failure("ReceiptHandleIsInvalid: no", final=True)
        before = sum(entry in batch for batch in self.batches)
        return Failure("InternalError", final=False) if before <= entry.count("!") else None


async def test_entries_go_together_ten_at_a_time() -> None:
    """What comes at the same time is one call, as far as SQS lets it."""
    service = Service()
    batches = Batching(service.send)
    await asyncio.gather(*(batches.add(str(number)) for number in range(23)))
    assert [len(batch) for batch in service.batches] == [10, 10, 3]


async def test_failed_entries_are_sent_again_alone() -> None:
    """A call that succeeds may have failed for some: those are tried again, the others not."""
    service = Service()
    batches = Batching(service.send)
    await asyncio.gather(batches.add("good"), batches.add("slow!"))
    assert service.batches == [["good", "slow!"], ["slow!"]]


async def test_entry_that_fails_for_good_says_so_to_its_caller_only() -> None:
    """An entry's failure is its own: with its reason, and without spoiling its batch."""
    batches = Batching(Service().send)
    outcomes = await asyncio.gather(
        batches.add("good"), batches.add("never"), batches.add("!!!!"), return_exceptions=True
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], TransientError)
    assert "ReceiptHandleIsInvalid" in str(outcomes[1])
    assert isinstance(outcomes[2], TransientError)


async def test_entry_is_sent_even_where_its_caller_is_cancelled() -> None:
    """A delete that was asked for happens, though the one who asked is stopped."""
    service = Service()
    batches = Batching(service.send)
    asking = asyncio.create_task(batches.add("delete"))
    await asyncio.sleep(0)
    asking.cancel()
    await batches.drain()
    assert service.batches == [["delete"]]


async def test_failed_of_real_batch_calls_is_read(moto: Server, queue: Sqs) -> None:
    """SQS answers 200 to a batch whose entries failed: both calls report each of them."""
    service = Queue(S3Options(queue_url=queue.url, endpoint_url=moto.url))
    await service.open()
    try:
        queue.send(notification("b", "k", "1"))
        (received,) = await service.receive(1, 0, 30)
        changes = await service.change_visibility([("none", 5), (received.receipt, 5)])
        deletes = await service.delete(["none", received.receipt])
        for failed, good in (changes, deletes):
            assert failed is not None
            assert failed.final
            assert "ReceiptHandleIsInvalid" in failed.reason
            assert good is None
    finally:
        await service.close()
    assert queue.empty


@pytest.mark.parametrize("error", [RuntimeError("no network"), TransientError("throttled")])
async def test_call_that_fails_as_a_whole_fails_each_entry(error: Exception) -> None:
    """Nobody waits for ever on a batch that could not be sent."""

    async def send(entries: Sequence[str]) -> list[Failure | None]:
        raise error

    with pytest.raises(TransientError, match=str(error)):
        await Batching(send).add("one")
