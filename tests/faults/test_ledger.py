"""The suite can fail: sources that break the promises, and a ledger that shows it.

System, sender and ledger are those of the other tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger, as_table, ledger_of
from tests.faults.sender import Sender
from tests.faults.system import System, webhook
from tests.support import wait_until

CARELESS = Path(__file__).parent / "careless.py"
ROUTE = '{start: Noted, id: "${{ event.id }}", args: ["${{ event.data.key }}"]}'
RATE = 20.0


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[Callable[[str], System]]:
    """A system whose listener has one of the careless sources, and is ready."""
    with System(tmp_path, direct=True) as system:

        def start(source: str) -> System:
            listener = webhook(source, system.port, source=source, route=ROUTE)
            system.configure(listener, plugins=[CARELESS])
            system.start_runner()
            system.wait_ready()
            return system

        yield start


async def test_what_is_acknowledged_early_is_lost_and_the_ledger_shows_it(
    careless: Callable[[str], System],
) -> None:
    """Those of an outage get their 2xx, and have neither a workflow nor a dead letter."""
    system = careless("hasty")
    with Sender(f"{system.url}/hasty", rate=RATE, name="hasty") as sender:
        await _five_more(sender)
        system.kill_server()
        await asyncio.to_thread(wait_until, lambda: not system.ready())
        await _five_more(sender)
        await asyncio.to_thread(system.start_server)
        await asyncio.to_thread(system.wait_ready)
        await _five_more(sender)
        await asyncio.to_thread(sender.finish)
    ledger = await ledger_of(system, sender, what="hasty", listener="hasty", within=1)
    assert len(ledger.acknowledged) == len(ledger.sent)
    assert len(ledger.done) >= 5
    assert len(ledger.lost) >= 5
    with pytest.raises(AssertionError, match=f"hasty: lost {len(ledger.lost)}: "):
        ledger.balance()


async def _five_more(sender: Sender) -> None:
    enough = len(sender.acknowledged) + 5
    await asyncio.to_thread(wait_until, lambda: len(sender.acknowledged) >= enough)


async def test_what_is_done_twice_is_shown_by_the_ledger(
    careless: Callable[[str], System],
) -> None:
    """The second workflow has another ID, but works for the same event: its note tells."""
    system = careless("forgetful")
    with Sender(f"{system.url}/forgetful", rate=RATE, name="forgetful", total=5) as sender:
        await asyncio.to_thread(sender.finish)
    await asyncio.to_thread(
        wait_until, lambda: [len(runs) for runs in system.notes().values()] == [2] * 5
    )
    ledger = await ledger_of(system, sender, what="forgetful", listener="forgetful")
    assert not ledger.lost
    assert ledger.duplicates == set(ledger.sent)
    with pytest.raises(AssertionError, match="forgetful: doubled 5: "):
        ledger.balance()


def test_a_second_run_of_an_events_workflow_is_a_duplicate() -> None:
    """And a dead letter is not lost; the table says it all."""
    ledger = Ledger("all", 1, ["a", "b", "c"], ["a", "b"], {"a": ["1", "2"]}, dead_letters=["b"])
    entries: list[str] = []
    ledger.enter(lambda name, entry: entries.append(str(entry)))
    assert (ledger.lost, ledger.duplicates) == (set(), {"a"})
    title, line = as_table(entries)
    assert title.split()[-5:] == ["duplicates", "dead", "letters", "lost", "faults"]
    assert line.split()[-6:] == ["3", "2", "1", "1", "1", "0"]
