"""Codecs, converters and interceptors that raise or hang: no event is lost, and none stops others.

Each for a while and for ever, with an inbox and without one, on a real server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from temporal_runner.runtime.listeners import failing_events, outlets
from tests.conftest import WriteConfig
from tests.real.failing import KINDS, UnexpectedError, trouble
from tests.real.test_inbox import with_inbox
from tests.real.test_listeners import MakeSystem, System, make_system  # noqa: F401
from tests.support import (
    RunnerProcess,
    TemporalServer,
    free_port,
    http,
    post_json,
    wait_until,
)

StartRunner = Callable[..., RunnerProcess]


KEYS = dict.fromkeys(["second", "third", "fourth"], "one")
"""The ordering keys of some events."""


@pytest.fixture(autouse=True)
def _trouble() -> Iterator[None]:
    trouble.reset()
    yield
    trouble.lasts = False


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is too long for a test."""
    monkeypatch.setattr(failing_events, "SECONDS", 0.5)


def started(system: System) -> int:
    """How many were; what was handed back is delivered again, as a queue does."""
    for name in [name for name, how in system.store.settled if how == "nack"]:
        system.store.settled.remove((name, "nack"))
        key = KEYS.get(name)
        system.store.put(name, key=key, kind="start", trouble=name.startswith("trouble"))
    return system.listener.counts["accepted"]


async def all_started(system: System, client: Client, names: list[str]) -> None:
    for name in names:
        await client.get_workflow_handle(f"{system.unique}-{name}").describe()


# For a while. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inbox", [True, False])
async def test_what_fails_for_a_while_is_dispatched_afterwards_by_itself(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    client: Client,
    tmp_path: Path,
    kind: str,
    inbox: bool,
) -> None:
    """Nobody restarts anything; what was acknowledged is there, once."""
    more = with_inbox(tmp_path) if inbox else ""
    system = make_system(temporal_server.address, more, KINDS[kind])
    await system.start()
    names = [f"trouble-{number}" for number in range(3)]
    system.store.put(*names, kind="start", trouble=True)
    await system.until(lambda: trouble.failures >= 9 and started(system) == 0)
    if inbox:
        assert sorted(system.store.settled) == [(name, "ack") for name in names]
        assert system.listener.status()["inbox"]["failing"] == 3
    assert started(system) == 0
    trouble.lasts = False
    await system.until(lambda: started(system) == 3, "the dispatch")
    if inbox:
        await system.until(lambda: system.listener.status()["inbox"]["events"] == 0)
        assert system.listener.status()["inbox"]["failing"] == 0
    await all_started(system, client, names)
    assert await system.dead_letters.find() == []


@pytest.mark.parametrize(
    "error", [OSError("key service"), asyncio.CancelledError(), TimeoutError()]
)
@pytest.mark.parametrize("inbox", [True, False])
async def test_whatever_is_raised(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
    error: BaseException,
    inbox: bool,
) -> None:
    """Also what looks like the runner's own stopping."""
    trouble.error = error
    more = with_inbox(tmp_path) if inbox else ""
    system = make_system(temporal_server.address, more, KINDS["codec"])
    await system.start()
    system.store.put("trouble", kind="start", trouble=True)
    await system.until(lambda: trouble.failures >= 3)
    trouble.lasts = False
    await system.until(lambda: started(system) == 1, "the dispatch")


@pytest.mark.parametrize("kind", ["codec", "interceptor"])
async def test_what_hangs_for_ever_stops_nobody_else_and_is_tried_again(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Its place among those in flight is free again after a bound."""
    monkeypatch.setattr(outlets, "_BESIDE_THE_CALLS", 0.3)
    monkeypatch.setattr(outlets, "_MOST_CALLS", 0)
    trouble.hangs = True
    system = make_system(temporal_server.address, with_inbox(tmp_path), KINDS[kind])
    await system.start()
    system.store.put(*(f"trouble-{number}" for number in range(10)), kind="start", trouble=True)
    system.store.put("good", kind="start")
    await system.until(lambda: started(system) == 1, "the good one")
    await system.until(lambda: trouble.failures >= 20, "the others to be tried again")
    trouble.lasts = False
    await system.until(lambda: started(system) == 11)


# For ever. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inbox", [True, False])
async def test_what_fails_for_ever_while_others_succeed_becomes_a_dead_letter(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    client: Client,
    tmp_path: Path,
    at_once: None,
    kind: str,
    inbox: bool,
) -> None:
    """More of them than may be in flight: they stop nobody, open no circuit, and end."""
    more = with_inbox(tmp_path) if inbox else ""
    system = make_system(temporal_server.address, more, KINDS[kind])
    await system.start()
    bad = [f"trouble-{number}" for number in range(9)]
    system.store.put(*bad, kind="start", trouble=True)
    good: list[str] = []

    async def all_rejected() -> bool:
        good.append(f"good-{len(good)}")
        system.store.put(good[-1], kind="start")
        started(system)
        await asyncio.sleep(0.05)
        return len(await system.dead_letters.find()) == len(bad)

    async with asyncio.timeout(90):
        while not await all_rejected():
            pass
    for letter in await system.dead_letters.find():
        assert letter.event.id in bad
        assert letter.times == 1
        assert "while others succeeded; the last time: start Basket" in letter.reason
        assert "UnexpectedError: trouble" in letter.reason
    assert trouble.failures < len(bad) * 40, "a hot loop"
    await system.until(lambda: started(system) == len(good), "all the others")
    assert system.listener.ready
    if inbox:
        await system.until(lambda: system.listener.status()["inbox"]["events"] == 0)
    await all_started(system, client, good)


async def test_what_fails_for_ever_alone_is_kept_and_tried_at_its_pace(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
    at_once: None,
) -> None:
    """Where no other succeeds nothing tells it from an outage: it is not given up."""
    system = make_system(temporal_server.address, with_inbox(tmp_path), KINDS["codec"])
    await system.start()
    system.store.put("trouble", kind="start", trouble=True)
    began = asyncio.get_running_loop().time()
    await system.until(lambda: trouble.failures >= 15)
    assert asyncio.get_running_loop().time() - began > 1.0, "a hot loop"
    assert await system.dead_letters.find() == []
    assert system.listener.status()["inbox"]["events"] == 1
    assert system.listener.ready


@pytest.mark.parametrize("inbox", [True, False])
async def test_none_with_its_key_overtakes_what_fails(
    make_system: MakeSystem,  # noqa: F811
    temporal_server: TemporalServer,
    tmp_path: Path,
    inbox: bool,
) -> None:
    """Those in hand already, and those that come later; others do."""
    more = with_inbox(tmp_path) if inbox else ""
    system = make_system(temporal_server.address, more, KINDS["codec"])
    await system.start()
    system.store.put("trouble", key="one", kind="start", trouble=True)
    system.store.put("second", "third", key="one", kind="start")
    await system.until(lambda: trouble.failures >= 3)
    system.store.put("fourth", key="one", kind="start")
    system.store.put("other", key="another", kind="start")
    await system.until(lambda: started(system) == 1, "the other")
    await system.until(lambda: trouble.failures >= 6)
    assert started(system) == 1
    trouble.lasts = False
    await system.until(lambda: started(system) == 5, "all of them")
    client = system.connection.client
    times = [
        (await client.get_workflow_handle(f"{system.unique}-{name}").describe()).start_time
        for name in ("trouble", "second", "third", "fourth")
    ]
    assert times == sorted(times)


# A webhook, as a process. -------------------------------------------------------------------------

CONFIG = """
import_paths: [{root}]
temporal: {{address: "{address}", rpc_timeout: 2s{connection}}}
retry: {{base_delay: 10ms, max_delay: 200ms}}
dead_letters: {{path: "{folder}/dead-letters.db"}}
listeners:
  hook:
    source: webhook
    options: {{port: {port}, path: /, verify: {{scheme: none}}}}
    routes:
      - start: Basket
        task_queue: nobody-works-here
        id: {unique}-${{{{ event.id }}}}
        args: ["${{{{ event.data }}}}"]
admin: {{port: {admin}}}
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_webhooks_sender_is_asked_to_come_again(
    start_runner: StartRunner,
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    kind: str,
) -> None:
    """503 for what fails, however often it is sent; 202 for the others; and the runner is well."""
    port, admin = free_port(), free_port()
    folder = write_config("").parent
    runner = start_runner(
        "start",
        write_config(
            CONFIG.format(
                root=Path(__file__).parents[2],
                address=temporal_server.address,
                connection=KINDS[kind],
                folder=folder,
                port=port,
                admin=admin,
                unique=folder.name,
            )
        ),
    )
    runner.wait_for("ready:")
    for number in range(20):
        answer = post_json(f"http://127.0.0.1:{port}/", {"trouble": True})
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert post_json(f"http://127.0.0.1:{port}/", {"number": number}).status == 202
    status = http("GET", f"http://127.0.0.1:{admin}/status").json()
    assert status["ready"]
    wait_until(lambda: UnexpectedError.__name__ in runner.output)
    assert runner.output.count("failed once") == 1
    assert runner.output.count("failed 16 times") == 1
    assert "Traceback" not in runner.output
    assert runner.stop() == 0
