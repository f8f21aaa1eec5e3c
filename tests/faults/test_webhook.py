"""Webhooks while Temporal, the runner and the network between them fail, again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.faults.ledger import Ledger, ledger_of, told
from tests.faults.scale import scaled
from tests.faults.sender import Sender
from tests.faults.storm import Say, Storm, network_fails, runner_killed, server_killed
from tests.faults.system import System, webhook
from tests.support import wait_until

LASTING = scaled(12.0, 600.0)
EVENTS = scaled(240, 10_000)
SIGNALS = scaled(60, 3_000)
ACCOUNTS = scaled(5, 20)
ADD = (
    "{signal_with_start: add, workflow: Account,"
    ' id: "account-${{ event.data.account }}", args: ["${{ event.id }}"]}'
)

Figure = Callable[[str, object], None]


@pytest.mark.timeout(600 + LASTING * 2)
async def test_a_storm_loses_no_webhook_and_doubles_none(
    tmp_path: Path, figure: Figure, say: Say
) -> None:
    """With an inbox, without one, and signals; one sender in ten gives up after one try.

    What got a 2xx has its workflow, or was told to its account, once. With an inbox all that was
    sent until it got a 2xx has, and nothing but a dead runner or a full inbox keeps an event out.
    Without one the others got 503 or 429, or no answer where the runner was dead.
    """
    with System(tmp_path) as system:
        system.configure(
            webhook("kept", system.port, inbox=f'{{path: "{tmp_path}/inbox.db"}}'),
            webhook("direct", system.port),
            webhook("signals", system.port, route=ADD),
        )
        system.start_runner()
        system.wait_ready()
        storm = Storm(
            LASTING,
            say,
            server_killed(system, scaled(2, 22), away=scaled((0.2, 2.0), (0.2, 10.0))),
            runner_killed(system, scaled(2, 12), away=scaled((0.0, 1.0), (0.0, 4.0))),
            network_fails(system.proxy, scaled(4, 40), lasting=scaled((0.5, 1.0), (0.5, 8.0))),
        )
        began = time.monotonic()
        with ExitStack() as senders:
            kept, direct, signals = (
                senders.enter_context(
                    Sender(
                        f"{system.url}/{listener}",
                        rate=total / LASTING,
                        total=total,
                        name=listener,
                        data=data,
                        tries_once=lambda number: number % 10 == 0,
                    )
                )
                for listener, total, data in (
                    ("kept", EVENTS, None),
                    ("direct", EVENTS, None),
                    ("signals", SIGNALS, lambda number: {"account": number % ACCOUNTS}),
                )
            )
            await storm.blow()
            for sender in (kept, direct, signals):
                await asyncio.to_thread(sender.finish)
        took = time.monotonic() - began
        for sender in (kept, direct, signals):
            figure(f"answers to {sender.name}", dict(sender.statuses))
            assert not sender.odd, f"{sender.name}: {sender.odd}"
        await asyncio.to_thread(system.wait_ready)
        await asyncio.to_thread(
            wait_until, lambda: system.status("kept")["inbox"]["events"] == 0, what="the inbox"
        )
        ledgers = [
            await ledger_of(
                system, sender, what=what, listener=name, seconds=took, faults=storm.counts
            )
            for name, what, sender in (
                ("kept", "webhook with an inbox", kept),
                ("direct", "webhook without one", direct),
            )
        ]
        client = await system.client()
        accounts = [f"account-{number}" for number in range(ACCOUNTS)]
        events = {one: await _told_to(client, one) for one in accounts}
        ledgers.append(
            Ledger(
                "webhook to signals",
                took,
                signals.sent,
                signals.acknowledged,
                told(events),
                faults=storm.counts,
            )
        )
        assert system.runner is not None
        assert system.runner.stop() == 0, system.runner.output
    for ledger in ledgers:
        ledger.enter(figure)
    for ledger in ledgers:
        ledger.balance()


async def _told_to(client: Client, account: str) -> Sequence[str]:
    """The events that an account was told of; its worker may have to read thousands again."""
    handle = client.get_workflow_handle(account)
    events: Sequence[str] = await handle.query("events", rpc_timeout=timedelta(minutes=2))
    return events
