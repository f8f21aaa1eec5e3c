"""Several webhook listeners of one real runner: one port, results as answers, memory bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.support import RunnerProcess, TemporalServer, free_port, http, post_json
from tests.webhook.support import SECRET, parse_raw, sign_stripe

StartRunner = Callable[..., RunnerProcess]
ROOT = Path(__file__).parents[2]

CONFIG = """
    import_paths: [{root}]
    temporal: {{address: "{address}"}}
    workers:
      flows:
        task_queue: hooks-{port}
        workflows: [tests.real.flows:Echo, tests.real.flows:Basket]
        activities: [tests.real.flows:echo]
    listeners:
      stripe:
        source: webhook
        options:
          port: {port}
          path: /stripe
          verify: {{scheme: stripe, secrets: ["{secret}"]}}
        routes:
          - start: Echo
            id: stripe-{port}-${{{{ event.id }}}}
            args: ["${{{{ event.subject }}}}"]
      basket:
        source: webhook
        options:
          port: {port}
          path: /basket
          verify: {{scheme: none}}
          response:
            completed: {{status: 201, body: {{items: "${{{{ result }}}}"}}}}
        routes:
          - when: event.type == "patient"
            update_with_start: put
            workflow: Basket
            id: basket-{port}-${{{{ event.data.basket }}}}
            args: ["${{{{ event.data.item }}}}"]
            wait_for_result: 10s
          - when: event.type == "hasty"
            update_with_start: put
            workflow: Basket
            id: basket-{port}-${{{{ event.data.basket }}}}
            args: ["${{{{ event.data.item }}}}"]
"""


async def test_two_listeners_share_a_port_and_one_answers_with_results(
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    start_runner: StartRunner,
    client: Client,
) -> None:
    """Each listener has its path; a route that waits is answered with the update's result."""
    port = free_port()
    text = CONFIG.format(root=ROOT, address=temporal_server.address, port=port, secret=SECRET)
    runner = start_runner("start", write_config(text))

    def talk() -> None:
        runner.wait_for("ready after")
        url = f"http://127.0.0.1:{port}"
        body = b'{"id": "evt_1", "type": "charge.succeeded", "data": {"object": {"id": "ch_1"}}}'
        headers = {**sign_stripe(body), "Content-Type": "application/json"}
        assert http("POST", url + "/stripe", body, **headers).status == 202
        assert http("POST", url + "/basket", body, **headers).json() == {"status": "ignored"}
        assert http("POST", url + "/else", body, **headers).status == 404
        first = {"type": "patient", "basket": 1, "item": "tea"}
        answer = post_json(url + "/basket", first)
        assert (answer.status, answer.json()) == (201, {"items": 1})
        answer = post_json(url + "/basket", {**first, "item": "milk"})
        assert (answer.status, answer.json()) == (201, {"items": 2})
        answer = post_json(url + "/basket", first)
        assert (answer.status, answer.json()) == (201, {"items": 1}), "the same event again"
        answer = post_json(url + "/basket", {**first, "type": "hasty"})
        assert (answer.status, answer.json()["status"]) == (202, "accepted")
        refused = post_json(url + "/basket", {**first, "item": "refuse me"})
        assert refused.status == 422
        assert "not in this basket" in refused.json()["detail"]
        assert runner.stop() == 0

    await asyncio.to_thread(talk)
    handle = client.get_workflow_handle(f"stripe-{port}-evt_1")
    assert await handle.describe()


# Memory. -----------------------------------------------------------------------------------------

MIB = 1024 * 1024
BUFFERED = 16
ROOM = 48
"""MiB above what is buffered: kernels, parsers, fragments."""


def _memory(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {name}")


def _head(length: int | None, *more: str) -> bytes:
    lines = ["POST / HTTP/1.1", "Host: x", "Content-Type: application/json", *more]
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextmanager
def _at_once(work: Callable[[], int], count: int) -> Iterator[list[int]]:
    """Do something in many threads; the statuses they got are complete at the end."""
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield statuses
    for thread in threads:
        thread.join()


def test_memory_stays_bounded(
    write_config: WriteConfig,
    temporal_server: TemporalServer,
    start_runner: StartRunner,
    figure: Callable[[str, object], None],
) -> None:
    """Large, endless, slow and exploding bodies, many at once, do not fill a runner's memory."""
    port = free_port()
    text = f"""
        temporal: {{address: "{temporal_server.address}"}}
        listeners:
          any:
            source: webhook
            options:
              port: {port}
              max_buffered: {BUFFERED}MiB
              body_timeout: 3s
              verify: {{scheme: none}}
            routes: [{{when: event.type == "nothing", signal: add, id: nobody}}]
    """
    runner = start_runner("start", write_config(text))
    runner.wait_for("ready after")

    def send(*pieces: bytes, repeat: bytes = b"") -> int:
        """Send pieces, then one piece again and again until there is an answer; its status."""
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sender:
            for piece in pieces:
                sender.sendall(piece)
            while repeat and not select.select([sender], [], [], 0)[0]:
                sender.sendall(repeat)
            return parse_raw(sender.recv(65536)).status_code

    def post(body: bytes, *headers: str) -> int:
        return send(_head(len(body), *headers), body)

    large, bomb = b"x" * 10 * MIB, gzip.compress(b" " * 200 * MIB)
    nested = b"[" * (MIB // 2) + b"]" * (MIB // 2)
    most = json.dumps(["x" * 100] * (MIB // 110)).encode()
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert post(most) == 200
    before = _memory(runner.pid, "VmRSS")

    with _at_once(lambda: post(large), 10) as statuses:
        pass
    assert set(statuses) == {413}, "10 MiB"
    with _at_once(lambda: send(_head(None), repeat=chunk), 10) as statuses:
        pass
    assert set(statuses) == {413}, "endless"
    with _at_once(lambda: post(bomb, "Content-Encoding: gzip"), 20) as statuses:
        pass
    assert set(statuses) == {413}, "exploding"
    with _at_once(lambda: post(nested), 20) as statuses:
        pass
    assert set(statuses) <= {400, 429}, "nested"
    with _at_once(lambda: post(most), 40) as statuses:
        pass
    assert set(statuses) <= {200, 429}, "as large as allowed"
    # Bodies that all but arrive: those for which there is no room are told at once.
    with _at_once(lambda: send(_head(MIB), b"x" * (MIB - 1)), 40) as statuses:
        pass
    assert set(statuses) == {408, 429}, "slow"
    assert 10 <= statuses.count(408) <= BUFFERED

    peak = _memory(runner.pid, "VmHWM")
    figure("memory before, peak (MiB)", f"{before:.0f}, {peak:.0f}")
    assert peak - before < BUFFERED + ROOM
    assert post(b"{}") == 200
    assert runner.stop() == 0
