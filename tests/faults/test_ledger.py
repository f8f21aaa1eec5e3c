"""The suite can fail: what acknowledges early loses events, and the ledger shows it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger, dead_letters_in, runs_of
from tests.faults.sender import Sender
from tests.faults.system import System, webhook

CARELESS = Path(__file__).parent / "careless.py"
ROUTE = '{start: Noted, id: "${{ event.id }}", args: ["${{ event.data.key }}"]}'
RATE = 20.0


async def ledger_of(
    system: System, what: str, sender: Sender, name: str, *, within: float = 30.0
) -> Ledger:
    client = await system.client()
    return Ledger(
        what,
        0,
        sender.sent,
        sender.acknowledged,
        {
            f"{name}-{event}": runs
            for event, runs in (
                await runs_of(client, f"{name}-", sender.acknowledged, within=within)
            ).items()
        },
        system.notes(),
        await dead_letters_in(system.folder / "dead-letters.db", name),
    )


async def test_a_source_that_acknowledges_early_loses_events_and_the_ledger_shows_them(
    tmp_path: Path,
) -> None:
    """The same system, sender and ledger, but for the source: Temporal away, then the runner."""
    with System(tmp_path, direct=True) as system:
        system.configure(
            webhook("hasty", system.port, source="hasty", route=ROUTE), plugins=[CARELESS]
        )
        system.start_runner()
        system.wait_ready()
        with Sender(f"{system.url}/hasty", rate=RATE, name="hasty") as sender:
            await sent(sender, 10)
            system.kill_server()
            await sent(sender, 30)
            await asyncio.to_thread(system.start_server)
            await asyncio.to_thread(system.wait_ready)
            await sent(sender, 10)
            sender.finish()
        ledger = await ledger_of(system, "hasty", sender, "hasty", within=2)
    assert set(sender.statuses) == {202}
    assert len(ledger.done) >= 10
    assert ledger.lost
    assert len(ledger.lost) == len(ledger.sent) - len(ledger.done)
    with pytest.raises(AssertionError, match="hasty: lost"):
        ledger.balance()
