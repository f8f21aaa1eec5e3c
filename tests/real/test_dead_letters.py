"""Dead letters from the request that is refused to the replay that succeeds: real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.support import (
    RunnerProcess,
    TemporalServer,
    free_port,
    http,
    post_json,
    run_runner,
    wait_until,
)

StartRunner = Callable[..., RunnerProcess]

CONFIG = """
temporal: {{address: "{address}"}}
dead_letters: {{path: "{folder}/dead-letters.db"{more}}}
listeners:
  baskets:
    source: webhook
    options: {{port: {port}, path: /baskets, verify: {{scheme: none}}, id_header: x-event}}
    routes:
      - signal: add
        id: ${{{{ event.data.basket }}}}
        args: ["${{{{ event.data.item }}}}"]
admin: {{port: {admin}}}
"""


class Baskets:
    """A runner whose events are signals for workflows that may not be there."""

    def __init__(
        self, start: StartRunner, write_config: WriteConfig, address: str, more: str = ""
    ) -> None:
        self.port, admin = free_port(), free_port()
        file = write_config("")
        text = CONFIG.format(
            address=address, folder=file.parent, port=self.port, admin=admin, more=more
        )
        self.config = write_config(text)
        self.runner = start("start", self.config)
        self.runner.wait_for("ready:")
        self.status = f"http://127.0.0.1:{admin}/status"

    def post(self, event_id: str, basket: str, **headers: str) -> int:
        url = f"http://127.0.0.1:{self.port}/baskets"
        body = {"basket": basket, "item": "apple"}
        return post_json(url, body, x_event=event_id, **headers).status

    def letters(self) -> list[dict[str, object]]:
        code, output = run_runner("dead-letters", "list", self.config, "--json")
        assert code == 0, output
        return [json.loads(line) for line in output.splitlines()]

    def command(self, name: str, *arguments: object) -> tuple[int, str]:
        return run_runner("dead-letters", name, self.config, *arguments)


@pytest.fixture
def baskets(
    start_runner: StartRunner, write_config: WriteConfig, temporal_server: TemporalServer
) -> Baskets:
    return Baskets(start_runner, write_config, temporal_server.address)


async def test_a_rejected_event_is_kept_and_replayed_once_its_cause_is_mended(
    baskets: Baskets, client: Client
) -> None:
    """It stays while it fails, and is gone when Temporal has it."""
    basket = f"basket-{uuid4().hex[:8]}"
    assert baskets.post("e-1", basket, authorization="Bearer planted-secret") == 422
    [letter] = baskets.letters()
    assert letter["listener"] == "baskets"
    assert "NOT_FOUND" in str(letter["reason"])
    code, shown = baskets.command("show", letter["id"])
    assert code == 0
    assert json.loads(shown)["event"]["data"] == {"basket": basket, "item": "apple"}
    assert "planted-secret" not in shown
    code, output = baskets.command("replay", "--all")
    assert code == 1
    assert f"{letter['id']}  stays: event e-1: signal add" in output
    assert [one["times"] for one in baskets.letters()] == [2]
    handle = await client.start_workflow("Basket", id=basket, task_queue="nobody-works-here")
    code, output = baskets.command("replay", letter["id"])
    assert (code, output) == (0, f"{letter['id']}  accepted: signal {basket}\n")
    assert baskets.letters() == []
    names = [
        event.workflow_execution_signaled_event_attributes.signal_name
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert names == ["add"]
    await handle.terminate()


def test_letters_are_listed_for_people_and_dropped_by_number(baskets: Baskets) -> None:
    """What is asked for and is not there is an error that says so."""
    code, output = baskets.command("list")
    assert (code, output) == (0, "0 dead letters\n")
    for event in ("e-1", "e-2"):
        baskets.post(event, "nobody")
    code, output = baskets.command("list")
    assert "event e-2 of " in output
    assert output.endswith("2 dead letters\n")
    first, second = (letter["id"] for letter in baskets.letters())
    code, output = baskets.command("drop")
    assert (code, "say which" in output) == (2, True)
    code, output = baskets.command("drop", 999)
    assert (code, output) == (2, "there is no dead letter 999\n")
    assert baskets.command("drop", first) == (0, "dropped 1\n")
    assert [letter["id"] for letter in baskets.letters()] == [second]
    assert baskets.command("drop", "--all", "--listener", "baskets") == (0, "dropped 1\n")
    assert baskets.letters() == []


def test_one_event_rejected_again_is_one_letter(baskets: Baskets) -> None:
    """A sender that repeats itself fills nothing."""
    for _ in range(3):
        assert baskets.post("e-1", "nobody") == 422
    assert [letter["times"] for letter in baskets.letters()] == [3]


def test_what_cannot_be_kept_is_not_rejected(
    start_runner: StartRunner, write_config: WriteConfig, temporal_server: TemporalServer
) -> None:
    """With the store full the sender is asked to come again, and the log says why."""
    more = ", max_size: 50kB"
    baskets = Baskets(start_runner, write_config, temporal_server.address, more)
    wait_until(lambda: baskets.post(uuid4().hex, "x" * 5000) == 503, what="the store to be full")
    assert "the dead letters are full (max_size 50000 bytes): replay or drop some" in (
        baskets.runner.output
    )
    baskets.command("drop", "--all")
    assert baskets.post("e-1", "nobody") == 422
    counts = http("GET", baskets.status).json()["components"][-1]["counts"]
    assert counts["rejected"] + counts["nacked"] == counts["received"]


def test_a_store_that_cannot_be_opened_ends_the_start_with_a_next_step(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    """Before the first event, and not at the first rejection."""
    (tmp_path / "file").write_text("")
    config = write_config(f"""
        dead_letters: {{path: "{tmp_path}/file/dead-letters.db"}}
        listeners:
          hook:
            source: webhook
            options: {{port: 0, path: /, verify: {{scheme: none}}}}
            routes: [{{start: Order, task_queue: q}}]
        """)
    code, output = run_runner("start", config)
    assert code == 1
    assert "store of dead letters" in output
    assert "next step: give it a path on a local disk that this user can write to" in output
