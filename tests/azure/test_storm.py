"""Many messages, some twice, some unreadable, and a runner that is killed on the way."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from temporalio.client import Client

from tests.azure.support import Storage
from tests.azure.test_runner import StartRunner, System, queue_options
from tests.conftest import WriteConfig
from tests.support import RunnerProcess, TemporalServer, eventually, wait_until

MESSAGES = int(os.environ.get("AZURE_STORM_MESSAGES", "300"))
"""Of these 5% cannot be read; 20% of the others come twice."""


@pytest.mark.timeout(60 + MESSAGES)
async def test_a_storm_with_two_killed_runners_starts_each_blobs_workflow_once(
    storage: Storage,
    temporal_server: TemporalServer,
    client: Client,
    write_config: WriteConfig,
    start_runner: StartRunner,
    figure: Callable[[str, object], None],
) -> None:
    """One workflow for each good blob, each bad message in the poison queue, the queue empty."""
    bad = [f"unreadable {number}" for number in range(MESSAGES // 20)]
    good = [storage.put(f"{number}.txt", b"") for number in range(MESSAGES - len(bad))]
    twice = good[: len(good) // 5]
    queued: list[object] = [*good, *twice, *bad]
    random.Random(3).shuffle(queued)
    for message in queued:
        if isinstance(message, str):
            storage.send_text(message)
        else:
            storage.send(message)
    prefix = f"storm-{storage.queue_name}-"
    system = System(
        storage,
        temporal_server,
        write_config,
        start_runner,
        options=queue_options("visibility_timeout: 2s"),
        route=(
            '{start: Noted, args: ["${{ event.subject }}"], '
            f'id: "{prefix}${{{{ event.id }}}}"}}'
        ),
    )

    async def started() -> int:
        return (await client.count_workflows(f"WorkflowId STARTS_WITH '{prefix}'")).count

    began = time.monotonic()
    for part in (1, 2):
        runner = system.start()
        await _when_started(started, len(good) * part // 3, runner)
        runner.signal(signal.SIGKILL)
        runner.wait()
    runner = system.start()
    wait_until(lambda: storage.count() == 0, within=30 + MESSAGES / 5, what="the queue to be empty")
    took = time.monotonic() - began

    async def all_visible() -> bool:
        return await started() >= len(good)

    await eventually(all_visible, what="every workflow to be listed")
    assert runner.stop(within=60) == 0
    listed = [
        (workflow.id, workflow.run_id)
        async for workflow in client.list_workflows(f"WorkflowId STARTS_WITH '{prefix}'")
    ]
    letters = storage.poisoned()
    figure("messages", f"{len(queued)} ({len(good)} good, {len(twice)} twice, {len(bad)} bad)")
    figure("workflows", len(listed))
    figure("poisoned", f"{len(letters)}, of {len({letter['body'] for letter in letters})} messages")
    figure("left in the queue", storage.count())
    figure("took", f"{took:.1f} s with two kills")
    assert len(listed) == len(set(listed)) == len({id_ for id_, _ in listed}) == len(good)
    assert {letter["body"] for letter in letters} == set(bad)
    assert all("neither JSON nor base64" in letter["reason"] for letter in letters)
    assert storage.count() == 0


async def _when_started(started: Callable[[], object], enough: int, runner: RunnerProcess) -> None:
    async def are_enough() -> bool:
        assert runner.running, runner.output
        return await started() >= enough  # type: ignore[misc, no-any-return]

    await eventually(are_enough, within=60 + MESSAGES / 5, what=f"{enough} workflows")
