"""Many S3 events, some of them twice, some of them bad, and a runner that is killed on the way.

S3_STORM_EVENTS says how many (by default 300); 2000 is the full form.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.s3.conftest import MakeQueue
from tests.s3.support import (
    Server,
    Sqs,
    event_bridge,
    eventually,
    in_sns,
    notification,
    reason_of,
)
from tests.support import ROOT, RunnerProcess, TemporalServer, wait_until

EVENTS = int(os.environ.get("S3_STORM_EVENTS", "300"))
TWICE, BAD = 0.20, 0.05

CONFIG = """\
import_paths: [{root}]
temporal: {{address: {temporal}}}
retry: {{base_delay: 50ms, max_delay: 500ms}}
workers:
  objects: {{task_queue: {name}, workflows: [tests.s3.flows:NoteObject]}}
listeners:
  {name}:
    source: s3
    options:
      queue_url: {queue}
      dead_letter_queue_url: {dead}
      endpoint_url: {moto}
      visibility_timeout: 4s
      wait_time: 1s
      max_receives: 2
      backoff: 1s
    routes:
      - start: NoteObject
        args: ["${{{{ event.data }}}}"]
"""


def good_message(bucket: str, number: int) -> str:
    """One of the shapes, in turn."""
    key, sequencer = f"{number:05}.pdf", f"{0x617F0829 + number:016X}"
    match number % 4:
        case 0:
            return in_sns(notification(bucket, key, sequencer))
        case 1:
            return event_bridge(bucket, key, sequencer)
        case 2:
            return in_sns(event_bridge(bucket, key, sequencer))
    return notification(bucket, key, sequencer)


def bad_message(number: int) -> str:
    """One of the ways to be bad, in turn."""
    match number % 4:
        case 0:
            return f"no event, number {number}"
        case 1:
            return f'{{"number": {number}}}'
        case 2:
            return notification("b", f"{number}-%ff", "1")
    return in_sns(f"torn {number}")


@pytest.mark.timeout(90 + EVENTS // 2)
async def test_storm_of_events_is_neither_lost_nor_doubled(
    start_runner: Callable[..., RunnerProcess],
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    client: Client,
    moto: Server,
    make_queue: MakeQueue,
) -> None:
    """Two SIGKILLs on the way: one workflow a good object, each bad one kept with its reason."""
    name = f"storm-{uuid.uuid4().hex[:8]}"
    queue, dead = make_queue(), make_queue()
    bad = [bad_message(number) for number in range(round(EVENTS * BAD))]
    good = [good_message(name, number) for number in range(EVENTS - len(bad))]
    order = random.Random(7)
    messages = good + bad + order.sample(good, round(EVENTS * TWICE))
    order.shuffle(messages)
    config = write_config(
        CONFIG.format(
            root=ROOT,
            temporal=temporal_server.address,
            name=name,
            queue=queue.url,
            dead=dead.url,
            moto=moto.url,
        )
    )
    started = time.monotonic()
    feeding = asyncio.create_task(asyncio.to_thread(feed, queue, messages))
    kills = await killed_twice(lambda: start_runner("start", config), client, name, len(good))
    runner = start_runner("start", config)
    await feeding
    await eventually(lambda: queue.empty, within=60, what="the queue to be empty")
    took = time.monotonic() - started

    await eventually_listed(client, name, len(good))
    executions = [one async for one in client.list_workflows(f"TaskQueue = '{name}'")]
    letters = dead.drain()
    reasons = {letter["Body"]: reason_of(letter) for letter in letters}
    print(
        f"\n{len(messages)} messages of {EVENTS} events ({len(bad)} bad, {len(messages) - EVENTS}"
        f" twice), killed after {kills} workflows: {len(executions)} workflows,"
        f" {len({one.id for one in executions})} of them distinct, {len(letters)} dead letters,"
        f" {len(reasons)} of them distinct, queue {queue.counts()}, {took:.1f} s"
    )
    assert Counter(one.id for one in executions) == Counter({one.id for one in executions})
    assert {one.id.split("@")[0] for one in executions} == {
        f"{name}-{name}/{number:05}.pdf" for number in range(len(good))
    }
    assert reasons.keys() == set(bad)
    assert all(reasons.values())
    assert runner.stop() == 0, runner.output


def feed(queue: Sqs, messages: Sequence[str]) -> None:
    """Send as fast as they are taken: moto looks at every message in a queue at each call."""
    for start in range(0, len(messages), 50):
        wait_until(lambda: sum(queue.counts()) < 150, within=120, what="room in the queue")
        queue.send_all(messages[start : start + 50])


async def killed_twice(
    start: Callable[[], RunnerProcess], client: Client, name: str, total: int
) -> list[int]:
    """Start a runner and SIGKILL it in the middle of its work, twice; how far it was each time."""
    counts = []
    for share in (0.2, 0.5):
        runner = start()
        runner.wait_for("receiving")

        async def reached(share: float = share) -> bool:
            return await count(client, name) >= share * total

        what = f"{share:.0%} of the workflows:\n{runner.output}"
        await eventually(reached, within=60 + total / 5, what=what)
        runner.signal(signal.SIGKILL)
        runner.wait()
        counts.append(await count(client, name))
    return counts


async def count(client: Client, name: str) -> int:
    """How many workflows were started so far."""
    return (await client.count_workflows(f"TaskQueue = '{name}'")).count


async def eventually_listed(client: Client, name: str, expected: int) -> None:
    """Visibility is a moment behind."""

    async def listed() -> bool:
        return await count(client, name) >= expected

    await eventually(listed, what=f"{expected} workflows")
    await asyncio.sleep(0.5)  # and one too many would show
