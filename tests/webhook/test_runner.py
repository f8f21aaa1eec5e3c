"""The webhook listener of a real runner, in front of a real Temporal server."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.conftest import WriteConfig
from tests.support import (
    Answer,
    RunnerProcess,
    TemporalServer,
    free_port,
    http,
    post_json,
    run_runner,
    wait_until,
)
from tests.webhook.support import SECRET, sign_github

StartRunner = Callable[..., RunnerProcess]
ROOT = Path(__file__).parents[2]

CONFIG = """
    import_paths: [{root}]
    temporal: {{address: "{address}"}}
    retry: {{base_delay: 100ms, max_delay: 500ms}}
    workers:
      echo:
        task_queue: webhook-{port}
        workflows: [tests.real.flows:Echo]
        activities: [tests.real.flows:echo]
    listeners:
      github:
        source: webhook
        options:
          port: {port}
          path: /github
          verify: {{scheme: github, secrets: ["${{GITHUB_SECRET:?set it}}"]}}
        routes:
          - when: event.type == "push"
            start: Echo
            id: push-{port}-${{{{ event.id }}}}
            args: ["${{{{ event.data }}}}"]
          - when: event.type == "broken"
            start: Echo
            id: broken-{port}-${{{{ event.data.missing }}}}
"""


class Hooks:
    """A runner with a GitHub listener, and what to send to it."""

    def __init__(self, write_config: WriteConfig, address: str) -> None:
        self.port = free_port()
        self.config = write_config(CONFIG.format(root=ROOT, address=address, port=self.port))
        self.env = {"GITHUB_SECRET": SECRET}

    def start(self, start_runner: StartRunner) -> RunnerProcess:
        runner = start_runner("start", self.config, env=self.env)
        runner.wait_for("ready after")
        return runner

    def push(self, delivery: str, kind: str = "push", body: bytes = b'{"ref": "main"}') -> Answer:
        headers = sign_github(body)
        headers |= {"X-GitHub-Delivery": delivery, "X-GitHub-Event": kind}
        headers["Content-Type"] = "application/json"
        return http("POST", f"http://127.0.0.1:{self.port}/github", body, **headers)


@pytest.fixture
def hooks(write_config: WriteConfig, temporal_server: TemporalServer) -> Hooks:
    return Hooks(write_config, temporal_server.address)


def _problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    return problem


async def test_a_signed_request_starts_its_workflow_once(
    hooks: Hooks, start_runner: StartRunner, client: Client
) -> None:
    """202 and a workflow; the same delivery again is 200 and no other workflow."""

    def talk() -> tuple[RunnerProcess, Answer, Answer]:
        runner = hooks.start(start_runner)
        first, again = hooks.push("d-1"), hooks.push("d-1")
        assert hooks.push("d-2", "ping").json() == {"status": "ignored"}
        broken = hooks.push("d-3", "broken")
        assert broken.status == 422
        assert "missing" in _problem(broken)["detail"]
        assert runner.stop() == 0
        return runner, first, again

    runner, first, again = await asyncio.to_thread(talk)
    assert (first.status, again.status) == (202, 200)
    assert first.json()["run_id"] == again.json()["run_id"]
    handle = client.get_workflow_handle(first.json()["workflow_id"])
    description = await handle.describe()
    assert (await description.memo())["event"]["id"] == "d-1"
    # Neither the secret nor the signature is in the log, the memo, the input or the answers.
    history = (await handle.fetch_history()).to_json()
    signature = sign_github(b'{"ref": "main"}')["X-Hub-Signature-256"].removeprefix("sha256=")
    memo = str(await description.memo())
    for text in (runner.output, history, memo, first.body, again.body):
        assert SECRET not in text
        assert signature not in text


def test_while_temporal_is_away_it_is_503_and_after_it_202(
    write_config: WriteConfig, own_temporal_server: TemporalServer, start_runner: StartRunner
) -> None:
    """A sender is told to come again while Temporal is away, and is served when it is back."""
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    hooks = Hooks(write_config, own_temporal_server.address)
    runner = hooks.start(start_runner)
    own_temporal_server.kill()
    away = _until(hooks, 503)
    assert int(away.headers["retry-after"]) >= 1
    assert _problem(away)["status"] == 503
    own_temporal_server.start()
    back = _until(hooks, 202)
    assert back.json()["status"] == "accepted"
    assert hooks.push("d-1").json()["status"] == "duplicate"
    assert runner.stop() == 0


def _until(hooks: Hooks, status: int) -> Answer:
    """Push the same delivery until it is answered so."""

    def pushed() -> Answer | None:
        answer = hooks.push("d-1")
        return answer if answer.status == status else None

    answer = wait_until(pushed, within=60, what=f"a {status}")
    assert answer is not None
    return answer


def test_port_in_use_is_one_line_and_exit_1(hooks: Hooks) -> None:
    """A port that another process has ends the runner with exit 1, and says so in clear words."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", hooks.port))
        other.listen()
        code, output = run_runner("start", hooks.config, env=hooks.env)
    assert code == 1, output
    assert "Traceback" not in output
    stopped = re.search(r"stopped: (.*)\n\s*(.*)", output)
    assert stopped is not None, output
    assert f"cannot listen at 127.0.0.1:{hooks.port}: Address already in use" in stopped[1]
    assert "set another port" in stopped[2]


def test_a_request_in_flight_at_sigterm_is_answered(
    hooks: Hooks, start_runner: StartRunner
) -> None:
    """A request whose body is half sent at SIGTERM is still taken and answered, then exit 0."""
    runner = hooks.start(start_runner)
    body = b'{"ref": "late"}'
    signed = {**sign_github(body), "X-GitHub-Delivery": "d-late"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    head = f"POST /github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}"
    with socket.create_connection(("127.0.0.1", hooks.port), timeout=10) as sender:
        sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        runner.signal(signal.SIGTERM)
        wait_until(lambda: http("GET", f"http://127.0.0.1:{hooks.port}/").status == 0)
        sender.sendall(body[5:])
        answer = sender.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 202"), answer
    assert "connection: close" in answer
    assert runner.wait() == 0, runner.output


def test_two_listeners_with_one_path_do_not_validate(write_config: WriteConfig) -> None:
    """Two listeners that claim one path of one port are an error of the config."""
    text = """
        listeners:
          first: &hook
            source: webhook
            options: {port: 8080, path: /orders, verify: {scheme: none}}
            routes: [{signal: add, id: basket}]
          second:
            source: webhook
            options: {port: 8080, path: /orders, verify: {scheme: none}}
            routes: [{signal: add, id: basket}]
          third:
            source: webhook
            options: {port: 8080, path: /other, verify: {scheme: none}}
            routes: [{signal: add, id: basket}]
    """
    code, output = run_runner("validate", write_config(text.replace("&hook", "")))
    assert code == 2
    assert "listeners.second.options: the listener first has http://127.0.0.1:8080/orders" in output
    assert "third" not in output


def test_big_payloads_are_refused_whole(
    write_config: WriteConfig, temporal_server: TemporalServer, start_runner: StartRunner
) -> None:
    """A payload over Temporal's own limits is 422, and nothing of it is started."""
    port = free_port()
    text = f"""
        temporal: {{address: "{temporal_server.address}"}}
        listeners:
          big:
            source: webhook
            options: {{port: {port}, max_body: 8MiB, verify: {{scheme: none}}}}
            routes:
              - start: Echo
                task_queue: nobody-{port}
                args: ["${{{{ event.data }}}}"]
    """
    runner = start_runner("start", write_config(text))
    runner.wait_for("ready after")
    url = f"http://127.0.0.1:{port}/"
    for size in (3_000_000, 6_000_000):
        answer = post_json(url, {"type": "big", "text": "x" * size})
        assert answer.status == 422, answer.body
        assert _problem(answer)["detail"]
    assert post_json(url, {"type": "big", "text": "x" * 1_000_000}).status == 202
    assert runner.stop() == 0
