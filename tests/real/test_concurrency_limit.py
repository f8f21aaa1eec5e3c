"""How many calls are under way at a time: few at first, more while they succeed."""

from __future__ import annotations

import asyncio

import pytest

from temporal_runner.errors import Busy
from temporal_runner.runtime.listeners import concurrency_limit as pace_module
from temporal_runner.runtime.listeners.concurrency_limit import Pace


async def begun(pace: Pace, calls: int) -> list[asyncio.Task[int]]:
    """So many calls that want to begin; as many as may have begun."""
    tasks = [asyncio.create_task(pace.begin()) for _ in range(calls)]
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
    pace = Pace(100)
    assert pace.room == 100
    pace.lost()
    tasks = await begun(pace, 6)
    assert done(tasks) == 4
    for _ in range(4):
        pace.end(tasks[0].result(), succeeded=True)
    await settled()
    assert done(tasks) == 6
    assert pace.room == 4  # 4 and a rounding: the fifth place is there with the next success
    pace.end(tasks[0].result(), succeeded=True)
    assert pace.room == 5


async def test_it_grows_to_the_most_and_no_further() -> None:
    """`max_in_flight` holds."""
    pace = Pace(7)
    pace.lost()
    for _ in range(100):
        pace.end(await pace.begin(), succeeded=True)
    assert pace.room == 7
    few = Pace(2)
    few.lost()
    assert few.room == 2


async def test_a_turn_that_does_not_come_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind calls that hang a sender is told to come again, and leaves no place taken."""
    monkeypatch.setattr(pace_module, "_LONGEST_WAIT", 0.05)
    pace = Pace(2)
    hanging = [await pace.begin(), await pace.begin()]
    with pytest.raises(Busy) as busy:
        await pace.begin()
    assert busy.value.retry_after == 1
    for call in hanging:
        pace.end(call, succeeded=True)
    assert len([await pace.begin(), await pace.begin()]) == 2


async def test_a_failure_halves_it() -> None:
    """But to no fewer than it begins with."""
    pace = Pace(64)
    pace.end(await pace.begin(), succeeded=False)
    assert pace.room == 32
    for _ in range(10):
        pace.end(await pace.begin(), succeeded=False)
    assert pace.room == 4


async def test_what_was_under_way_when_the_server_was_lost_takes_no_room() -> None:
    """Such calls end when their time is over, long after the server is back."""
    pace = Pace(4)
    before = await begun(pace, 10)
    assert done(before) == 4
    pace.lost()
    await settled()
    assert done(before) == 8
    old = [task.result() for task in before[:4]]
    for call in old:
        pace.end(call, succeeded=False)
    await settled()
    assert done(before) == 8, "the end of an old call made room"
    await cancelled(before)


@pytest.mark.parametrize("woken", [True, False])
async def test_the_turn_of_one_that_goes_away_is_anothers(woken: bool) -> None:
    """No place is lost with a call that is cancelled while it waits."""
    pace = Pace(4)
    tasks = await begun(pace, 6)
    if woken:
        pace.end(tasks[0].result(), succeeded=True)
    tasks[4].cancel()
    if not woken:
        await settled()
        pace.end(tasks[0].result(), succeeded=True)
    await settled()
    assert tasks[5].done()
