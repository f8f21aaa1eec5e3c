"""Queues while Temporal, the runner, the queue and the networks between fail, again and again."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.azure.azurite import SAVES_EVERY, Azurite
from tests.azure.support import Storage, event_grid, in_base64
from tests.faults.feeder import Feeder
from tests.faults.ledger import ledger_of
from tests.faults.proxy import Proxy
from tests.faults.scale import SEED, scaled
from tests.faults.storm import Fault, Say, Storm, network_fails, runner_killed, server_killed
from tests.faults.system import System, lasting_port
from tests.s3.support import CREDENTIALS, Server, Sqs, event_bridge, in_sns, notification
from tests.support import ROOT, wait_until

LASTING = scaled(8.0, 300.0)
DRAINED = 60 + LASTING * 2
"""Seconds after the storm: the emulators, not the runner, take as long as they take."""
EVENTS = scaled(160, 5_000)
TWICE, BAD = 0.10, 0.02
"""Shares of the events that come in two messages, and that cannot be read."""
pytestmark = pytest.mark.timeout(150 + LASTING * 2 + DRAINED)

Figure = Callable[[str, object], None]


def storm_over(system: System, source: Proxy, say: Say, *more: Fault) -> Storm:
    """The faults of both tests: of Temporal, the runner and both networks."""
    return Storm(
        LASTING,
        say,
        server_killed(system, scaled(1, 20), away=scaled((0.2, 2.0), (0.2, 6.0))),
        runner_killed(system, scaled(1, 10), away=scaled((0.0, 1.0), (0.0, 4.0))),
        network_fails(system.proxy, scaled(2, 24), lasting=scaled((0.3, 0.8), (0.5, 6.0))),
        network_fails(
            source, scaled(2, 12), lasting=scaled((0.3, 0.8), (0.5, 6.0)), name="source's network"
        ),
        *more,
    )


def marked(share: float, name: str) -> set[int]:
    """A drawn share of the events' numbers."""
    return set(random.Random(f"{SEED} {name}").sample(range(EVENTS), round(EVENTS * share)))


# SQS. ---------------------------------------------------------------------------------------------

OBJECTS = """\
  objects:
    source: s3
    options:
      queue_url: {queue}
      dead_letter_queue_url: {dead}
      endpoint_url: http://127.0.0.1:{port}
      visibility_timeout: 3s
      wait_time: 1s
      max_receives: 2
      backoff: 500ms
    retry: {{base_delay: 50ms, max_delay: 1s}}
    routes:
      - start: Noted
        id: ${{{{ event.data.object.key }}}}
        args: ["${{{{ event.data.object.key }}}}"]
"""


async def test_a_storm_loses_no_message_of_sqs_and_doubles_none(
    tmp_path: Path, figure: Figure, say: Say
) -> None:
    """A short visibility delivers again what is in hand too long; the bad ones are kept.

    The emulator has its messages in memory, so that it is not killed.
    """
    script = str(ROOT / "tests" / "s3" / "emulator.py")
    moto = Server(
        lambda port: [sys.executable, script, "-H", "127.0.0.1", "-p", str(port)], tmp_path
    )
    try:
        queue, dead = Sqs(moto, "events"), Sqs(moto, "dead")
        with System(tmp_path) as system, Proxy(moto.port, port=lasting_port()) as network:
            system.configure(
                OBJECTS.format(queue=queue.url, dead=dead.url, port=network.port), env=CREDENTIALS
            )
            system.start_runner()
            system.wait_ready()
            storm = storm_over(system, network, say)
            began = time.monotonic()
            with Feeder(_object_put_into(queue), total=EVENTS, rate=EVENTS / LASTING) as feeder:
                await storm.blow()
                await asyncio.to_thread(feeder.finish)
            await asyncio.to_thread(
                wait_until, lambda: queue.empty, within=DRAINED, what="the queue to be empty"
            )
            ledger = await ledger_of(
                system,
                feeder,
                what="SQS",
                listener="objects",
                seconds=time.monotonic() - began,
                faults=storm.counts,
                dead_letters={letter["Body"] for letter in dead.drain()},
            )
            assert system.runner is not None
            assert system.runner.stop() == 0, system.runner.output
    finally:
        moto.stop()
    ledger.enter(figure)
    ledger.balance()
    assert len(ledger.dead_letters) == round(EVENTS * BAD)


def _object_put_into(queue: Sqs) -> Callable[[int], str]:
    twice, bad = marked(TWICE, "twice"), marked(BAD, "bad")
    shapes: list[Callable[[str, str], str]] = [
        lambda key, sequencer: notification("bucket", key, sequencer),
        lambda key, sequencer: event_bridge("bucket", key, sequencer),
        lambda key, sequencer: in_sns(notification("bucket", key, sequencer)),
    ]

    def put(number: int) -> str:
        name = f"objects-{number:05}"
        if number in bad:
            queue.send(name)
            return name
        message = shapes[number % 3](name, f"{0x617F0829 + number:016X}")
        for _ in range(2 if number in twice else 1):
            queue.send(message)
        return name

    return put


# Azure. -------------------------------------------------------------------------------------------

BLOBS = """\
  blobs:
    source: azure
    options:
      mode: queue
      connection_string: ${{BLOBS_CONNECTION_STRING}}
      queue: {queue}
      visibility_timeout: 3s
      poll_min: 20ms
      poll_max: 200ms
    retry: {{base_delay: 50ms, max_delay: 1s}}
    routes:
      - start: Noted
        id: ${{{{ event.data.blob }}}}
        args: ["${{{{ event.data.blob }}}}"]
"""


async def test_a_storm_loses_no_message_of_azure_and_doubles_none(
    tmp_path: Path, figure: Figure, say: Say
) -> None:
    """The emulator is killed too; what was taken from its queue then may be there again."""
    azurite = Azurite(location=tmp_path / "azurite", find_port=lasting_port)
    azurite.start()
    storage = Storage(azurite)
    try:
        with System(tmp_path) as system, Proxy(azurite.queue_port, port=lasting_port()) as network:
            account = azurite.connection_string().replace(
                f":{azurite.queue_port}/", f":{network.port}/"
            )
            system.configure(
                BLOBS.format(queue=storage.queue_name), env={"BLOBS_CONNECTION_STRING": account}
            )
            system.start_runner()
            system.wait_ready()
            began = time.monotonic()
            with Feeder(_blob_told_to(storage), total=EVENTS, rate=EVENTS / LASTING) as feeder:
                killed = _azurite_killed(azurite, feeder, scaled(1, 6))
                storm = storm_over(system, network, say, killed)
                await storm.blow()
                await asyncio.to_thread(feeder.finish)
            await asyncio.to_thread(
                wait_until,
                lambda: storage.count() == 0,
                within=DRAINED,
                what="the queue to be empty",
            )
            ledger = await ledger_of(
                system,
                feeder,
                what="Azure queue",
                listener="blobs",
                seconds=time.monotonic() - began,
                faults=storm.counts,
                dead_letters={letter["body"] for letter in storage.poisoned()},
            )
            assert system.runner is not None
            assert system.runner.stop() == 0, system.runner.output
    finally:
        storage.close()
        azurite.stop()
    ledger.enter(figure)
    ledger.balance()
    assert len(ledger.dead_letters) == round(EVENTS * BAD)


def _blob_told_to(storage: Storage) -> Callable[[int], str]:
    twice, bad = marked(TWICE, "twice"), marked(BAD, "bad")
    container = f"{storage.azurite.blob_url}/{storage.container_name}"

    def messages(number: int, name: str) -> Iterable[str]:
        if number in bad:
            return [name]
        event = event_grid(f"{container}/{name}", f"0x{number:X}")
        return [in_base64(event)] * (2 if number in twice else 1)

    def put(number: int) -> str:
        name = f"blobs-{number:05}"
        for message in messages(number, name):
            storage.send_text(message)
        return name

    return put


def _azurite_killed(azurite: Azurite, feeder: Feeder, times: int) -> Fault:
    """SIGKILL of the emulator, once it has written down what it was given.

    It writes every few seconds: a crash in between loses what it acknowledged, which no runner can
    help. What the runner did since then is lost, and is what the test wants.
    """

    def kill_and_start(away: float) -> None:
        with feeder.paused():
            time.sleep(SAVES_EVERY + 2)
            azurite.stop()
            time.sleep(away)
            azurite.start()

    async def happen(draws: random.Random) -> str:
        await asyncio.to_thread(kill_and_start, draws.uniform(*scaled((0.2, 1.0), (0.2, 5.0))))
        return ""

    return Fault("Azurite killed", times, happen)
