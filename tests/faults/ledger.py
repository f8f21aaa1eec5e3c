"""The ledger of a test: what was sent, what was acknowledged, what was done of it, what is lost.

What was done is Temporal's own word (the runs that it lists, the signals that a workflow was told
of) and that of the workflows' side effects; what was acknowledged is the sender's.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from temporal_runner.runtime.storage.dead_letters import DeadLetters
from tests.faults.feeder import Feeder
from tests.faults.scale import SEED
from tests.faults.sender import Sender
from tests.faults.system import System
from tests.support import eventually

LEDGER = "ledger"
"""The name of the figure that is a line of the ledger."""
_COLUMNS = {
    "what": 26,
    "seed": 7,
    "seconds": 8,
    "sent": 7,
    "acknowledged": 13,
    "done": 7,
    "duplicates": 11,
    "dead letters": 13,
    "lost": 5,
}


@dataclass
class Ledger:
    """The account of one listener's events.

    Attributes:
        what: Which events.
        seconds: For how long they were sent.
        sent: The events that were sent at least once.
        acknowledged: Those that their sender may forget.
        done: For each event what Temporal did for it: the runs of its workflow, or the workflows
            that were told of it, as often as they were.
        notes: For each event the runs that left a note of it. One run may leave several, as an
            activity may be done again; two runs may not.
        dead_letters: The events that are kept for a person.
        faults: What happened meanwhile, and how often.
    """

    what: str
    seconds: float
    sent: Collection[str]
    acknowledged: Collection[str]
    done: Mapping[str, Sequence[str]]
    notes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dead_letters: Collection[str] = ()
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> set[str]:
        """Acknowledged, and neither done nor kept."""
        return set(self.acknowledged) - self.done.keys() - set(self.dead_letters)

    @property
    def duplicates(self) -> set[str]:
        """Done more than once."""
        twice = {event for event, runs in self.done.items() if len(runs) > 1}
        return twice | {event for event, runs in self.notes.items() if len(runs) > 1}

    def enter(self, figure: Callable[[str, object], None]) -> None:
        """Print it at the end of the run, as a line of the table."""
        counted = {
            "what": self.what,
            "seed": SEED,
            "seconds": round(self.seconds),
            "sent": len(self.sent),
            "acknowledged": len(self.acknowledged),
            "done": len(self.done),
            "duplicates": len(self.duplicates),
            "dead letters": len(self.dead_letters),
            "lost": len(self.lost),
            "faults": dict(sorted(self.faults.items())),
        }
        figure(LEDGER, json.dumps(counted))

    def balance(self) -> None:
        """Fail unless nothing is lost and nothing doubled."""
        assert not self.lost, f"{self.what}: lost {len(self.lost)}: {sorted(self.lost)[:10]}"
        twice = [(one, self.done.get(one), self.notes.get(one)) for one in sorted(self.duplicates)]
        assert not twice, f"{self.what}: doubled {len(twice)}: {twice[:10]}"
        unknown = self.done.keys() - set(self.sent)
        assert not unknown, f"{self.what}: nobody sent {sorted(unknown)[:10]}"


def as_table(entries: Collection[str]) -> list[str]:
    """All that was entered, as the lines of one table."""
    lines = [_line({name: name for name in _COLUMNS}, "faults")]
    for entry in entries:
        counted = json.loads(entry)
        faults = ", ".join(f"{name} {times}" for name, times in counted["faults"].items())
        lines.append(_line(counted, faults))
    return lines


def _line(cells: Mapping[str, object], last: str) -> str:
    first, *others = _COLUMNS
    columns = [f"{cells[first]!s:<{_COLUMNS[first]}}"]
    columns += [f"{cells[name]!s:>{_COLUMNS[name]}}" for name in others]
    return "".join(columns) + f"  {last}".rstrip()


# What Temporal and the runner's disk say. ---------------------------------------------------------


async def ledger_of(
    system: System,
    sender: Sender | Feeder,
    *,
    what: str,
    listener: str,
    seconds: float = 0.0,
    faults: Mapping[str, int] | None = None,
    dead_letters: Collection[str] = (),
    within: float = 60.0,
) -> Ledger:
    """The account of a sender's events, each of which starts a workflow of its own name.

    Args:
        system: Where they went.
        sender: Who sent them.
        what: Which events, for the table.
        listener: Who received them; their names begin with its.
        seconds: For how long.
        faults: What happened meanwhile.
        dead_letters: The events that the source keeps; those of the runner's own store are added.
        within: For how long Temporal's list of them is waited for, in seconds.
    """
    client = await system.client()
    acknowledged = sender.acknowledged
    kept = await dead_letters_in(system.dead_letters, listener)
    notes = system.notes().items()
    return Ledger(
        what,
        seconds,
        sender.sent,
        acknowledged,
        await runs_of(client, f"{listener}-", acknowledged - set(dead_letters), within=within),
        {event: runs for event, runs in notes if event.startswith(f"{listener}-")},
        {*kept, *dead_letters},
        faults or {},
    )


async def runs_of(
    client: Client, prefix: str, expected: Collection[str], *, within: float = 60.0
) -> dict[str, list[str]]:
    """The runs of all workflows whose ID begins so, by their ID.

    Args:
        client: Of the server.
        prefix: What the IDs begin with.
        expected: Those that ought to be there. The list lags behind the workflows, more so on a
            server that was just killed: it is waited for, and Temporal is asked for each that is
            not listed in the end.
        within: For how long it is waited for, in seconds.
    """
    query = f"WorkflowId STARTS_WITH '{prefix}'"

    async def listed() -> bool:
        return (await client.count_workflows(query)).count >= len(expected)

    with contextlib.suppress(AssertionError):
        await eventually(listed, within=within)
    runs: dict[str, set[str]] = {}
    async for one in client.list_workflows(query, page_size=1000):
        runs.setdefault(one.id, set()).add(one.run_id)
    for workflow_id in set(expected) - runs.keys():
        if run := await _described(client, workflow_id):
            runs[workflow_id] = {run}
    return {workflow_id: sorted(ids) for workflow_id, ids in runs.items()}


async def _described(client: Client, workflow_id: str) -> str | None:
    try:
        return (await client.get_workflow_handle(workflow_id).describe()).run_id
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def dead_letters_in(file: Path, listener: str) -> set[str]:
    """The IDs of the events that the runner's own store keeps of a listener."""
    store = DeadLetters(file, max_size=10**9)
    await store.open()
    try:
        return {letter.event.id for letter in await store.find(listener=listener)}
    finally:
        await store.close()


def told(events: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """From what each workflow was told of to the workflows that each event was told to."""
    found: dict[str, list[str]] = {}
    for workflow, names in events.items():
        for name, times in Counter(names).items():
            found.setdefault(name, []).extend([workflow] * times)
    return found
