"""A Temporal that answers probes and fails calls: it is left alone, and tried now and then."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from temporalio.client import Client
from temporalio.worker import Worker

from tests.conftest import WriteConfig
from tests.real.flows import Basket
from tests.support import RunnerProcess, TemporalServer, free_port, http, post_json, wait_until

CONFIG = """
temporal: {{address: "{address}", rpc_timeout: 2s}}
retry: {{base_delay: 1s, max_delay: 2s}}
dead_letters: {{path: "{folder}/dead-letters.db"}}
listeners:
  baskets:
    source: webhook
    options: {{port: {port}, path: /, verify: {{scheme: none}}}}
    routes:
      - update: put
        id: {basket}
        args: ["${{{{ event.data }}}}"]
admin: {{port: {admin}}}
"""


async def test_calls_that_fail_in_a_row_open_the_circuit_until_one_succeeds(
    start_runner: Callable[..., RunnerProcess],
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    client: Client,
) -> None:
    """No worker takes the updates: each call would wait for its time-out, and all others behind.

    It takes ten events: ten failures of one are no outage.
    """
    basket = f"basket-{uuid4().hex[:8]}"
    handle = await client.start_workflow(Basket.run, id=basket, task_queue=basket)
    port, admin = free_port(), free_port()
    folder = write_config("").parent
    config = write_config(
        CONFIG.format(
            address=temporal_server.address, folder=folder, port=port, admin=admin, basket=basket
        )
    )
    runner = start_runner("start", config)
    runner.wait_for("ready:")

    numbers = itertools.count()

    def post(number: int | None = None) -> int:
        item = next(numbers) if number is None else number
        return post_json(f"http://127.0.0.1:{port}/", {"item": item}).status

    def listener() -> dict[str, object]:
        part: dict[str, object] = http("GET", f"http://127.0.0.1:{admin}/status").json()[
            "components"
        ][-1]
        return part

    # One event, however often it fails, says nothing of the others.
    with ThreadPoolExecutor(12) as senders:
        assert set(senders.map(lambda _: post(-1), range(12))) == {503}
    assert listener()["ready"]
    with ThreadPoolExecutor(12) as senders:
        assert set(senders.map(lambda _: post(), range(12))) == {503}
    wait_until(lambda: not listener()["ready"], what="the circuit to open")
    assert "Temporal fails" in str(listener()["error"])
    assert "no worker accepted the update in time" in str(listener()["error"])
    # Most answers come at once now; one that tries takes its time-out.
    times = []
    for _ in range(5):
        began = time.monotonic()
        assert post() == 503
        times.append(time.monotonic() - began)
    assert min(times) < 1, times

    async with Worker(client, task_queue=basket, workflows=[Basket]):

        def accepted() -> bool:
            return post() == 202

        with ThreadPoolExecutor(1) as sender:
            await _until(sender, accepted)
        assert listener()["ready"]
        assert "Temporal takes calls again" in runner.output
    await handle.terminate()


async def _until(thread: ThreadPoolExecutor, condition: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(thread, lambda: wait_until(condition))
