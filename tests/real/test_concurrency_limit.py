"""How many calls are under way at a time: few at first, more while they succeed."""

from __future__ import annotations

import asyncio

import pytest

from temporal_runner.errors import Busy
from temporal_runner.runtime.listeners import concurrency_limit as limit_module
from temporal_runner.runtime.listeners.concurrency_limit import ConcurrencyLimit


async def begun(limit: ConcurrencyLimit, calls: int) -> list[asyncio.Task[int]]:
    """So many calls that want to begin; as many as may have begun."""
    tasks = [asyncio.create_task(limit.begin()) for _ in range(calls)]
    await settled()
    return tasks


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def cancelled(tasks: list[asyncio.Task[int]]) -> None:
    """End those that still wait."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def done(tasks: list[asyncio.Task[int]]) -> int:
    """How many have begun."""
    return sum(task.done() for task in tasks)


async def test_each_round_that_succeeds_makes_room_for_one_call_more() -> None:
    """After an outage: four at first, a hundred only after many rounds."""
    limit = ConcurrencyLimit(100)
    assert limit.room == 100
    limit.lost()
    tasks = await begun(limit, 6)
    assert done(tasks) == 4
    for _ in range(4):
        limit.end(tasks[0].result(), succeeded=True)
    await settled()
    assert done(tasks) == 6
    assert limit.room == 4  # 4 and a rounding: the fifth place is there with the next success
    limit.end(tasks[0].result(), succeeded=True)
    assert limit.room == 5


async def test_it_grows_to_the_most_and_no_further() -> None:
    """`max_in_flight` holds."""
    limit = ConcurrencyLimit(7)
    limit.lost()
    for _ in range(100):
        limit.end(await limit.begin(), succeeded=True)
    assert limit.room == 7
    few = ConcurrencyLimit(2)
    few.lost()
    assert few.room == 2


async def test_a_turn_that_does_not_come_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind calls that hang a sender is told to come again, and leaves no place taken."""
    monkeypatch.setattr(limit_module, "_LONGEST_WAIT", 0.05)
    limit = ConcurrencyLimit(2)
    hanging = [await limit.begin(), await limit.begin()]
    with pytest.raises(Busy) as busy:
        await limit.begin()
    assert busy.value.retry_after == 1
    for call in hanging:
        limit.end(call, succeeded=True)
    assert len([await limit.begin(), await limit.begin()]) == 2


async def test_a_failure_halves_it() -> None:
    """But to no fewer than it begins with."""
    limit = ConcurrencyLimit(64)
    limit.end(await limit.begin(), succeeded=False)
    assert limit.room == 32
    for _ in range(10):
        limit.end(await limit.begin(), succeeded=False)
    assert limit.room == 4


async def test_what_was_under_way_when_the_server_was_lost_takes_no_room() -> None:
    """Such calls end when their time is over, long after the server is back."""
    limit = ConcurrencyLimit(4)
    before = await begun(limit, 10)
    assert done(before) == 4
    limit.lost()
    await settled()
    assert done(before) == 8
    old = [task.result() for task in before[:4]]
    for call in old:
        limit.end(call, succeeded=False)
    await settled()
    assert done(before) == 8, "the end of an old call made room"
    await cancelled(before)


@pytest.mark.parametrize("woken", [True, False])
async def test_the_turn_of_one_that_goes_away_is_anothers(woken: bool) -> None:
    """No place is lost with a call that is cancelled while it waits."""
    limit = ConcurrencyLimit(4)
    tasks = await begun(limit, 6)
    if woken:
        limit.end(tasks[0].result(), succeeded=True)
    tasks[4].cancel()
    if not woken:
        await settled()
        limit.end(tasks[0].result(), succeeded=True)
    await settled()
    assert tasks[5].done()
