"""`runner events send`: a saved event through a listener's routes, for real and as a dry run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from temporalio.client import Client

from temporal_runner.errors import UsageError
from temporal_runner.events.saved import read_events
from tests.conftest import WriteConfig
from tests.support import BIN, TemporalServer, free_port

EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/orders",
    "type": "order.placed",
    "subject": "A-1",
    "time": "2026-01-31T12:00:00+00:00",
    "datacontenttype": "application/json",
    "data": {"order": "A-1", "amount": 12},
}

SILENT = """
from temporal_runner.plugin import EventSourceKind, NoOptions, hookimpl

@hookimpl
def runner_event_sources():
    yield EventSourceKind("silent", "never built here", NoOptions, lambda options, context: None)
"""

CONFIG = """
plugins: [./silent.py]
temporal: {{address: "127.0.0.1:{port}"}}
retry: {{timeout: 2s, base_delay: 100ms}}
listeners:
  orders:
    source: silent
    unmatched: {unmatched}
    routes:
      - when: event.type == "order.cancelled"
        signal: cancel
        id: order-${{{{ event.subject }}}}
      - when: event.type.startsWith("order.") && event.data.amount > 10
        start: FulfilOrder
        task_queue: nobody
        id: {prefix}order-${{{{ event.subject }}}}
        args: ["${{{{ event.data }}}}", "${{{{ event.data.amount * 2 }}}}"]
        memo: {{customer: "${{{{ event.data.order }}}}"}}
      - when: event.type == "order.noted"
        signal_with_start: note
        workflow: Notes
        id: {prefix}notes
        task_queue: nobody
        args: ["${{{{ event.subject }}}}"]
  payments:
    source: silent
    routes: [{{start: Pay, task_queue: nobody}}]
  typed:
    source: silent
    routes:
      - start: Pay
        task_queue: nobody
        id: typed
        search_attributes:
          Amount: {{type: Double, value: "${{{{ event.data.amount }}}}"}}
          Customer: {{type: Keyword, value: "${{{{ event.data.amount }}}}"}}
        priority: {{fairness_key: "${{{{ event.data.amount }}}}"}}
"""

MakeConfig = Callable[..., Path]


@pytest.fixture
def config(write_config: WriteConfig) -> MakeConfig:
    """A config with two listeners, for a Temporal at a port (nobody listens there by default)."""

    def make(*, port: int | None = None, unmatched: str = "ignore", prefix: str = "") -> Path:
        write_config(SILENT, "silent.py")
        port = port or free_port()
        return write_config(CONFIG.format(port=port, unmatched=unmatched, prefix=prefix))

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save an event with some attributes changed (or any value) as a file."""

    def write(changes: object = None, **more: Any) -> Path:
        content = changes if changes is not None else {**EVENT, **more}
        path = tmp_path / "event.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


@dataclass(frozen=True)
class Said:
    """What `runner events send` said: the config's warnings, which stand first, are left out."""

    code: int
    output: str
    errors: str

    @property
    def last(self) -> str:
        return self.output.splitlines()[-1]


def send(*arguments: object) -> Said:
    done = subprocess.run(
        [str(BIN / "runner"), "events", "send", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    errors = re.sub(r"\S+:\d+:\d+  warning: .*\n.*\n.*\^\n", "", done.stderr)
    return Said(done.returncode, done.stdout, errors)


# A dry run. --------------------------------------------------------------------------------------


def test_a_dry_run_says_what_and_why(config: MakeConfig, save: Callable[..., Path]) -> None:
    """It prints the action, and of each route why it does or does not match; nobody is called."""
    said = send(config(), "orders", save(), "--dry-run")
    assert (said.code, said.errors) == (0, "")
    assert said.output == dedent(
        """\
        event e-1 of /orders, type order.placed
          routes[0] signal cancel: does not match: event.type == "order.cancelled" (event.type is "order.placed")
          routes[1] start FulfilOrder: matches: event.type.startsWith("order.") && event.data.amount > 10 (event.type is "order.placed", event.data.amount is 12)
          routes[2] signal_with_start note: not asked: a route before it matches
        would start FulfilOrder
          id: order-A-1
          task queue: nobody
          args: [{"order": "A-1", "amount": 12}, 24]
          memo: {"customer": "A-1"}
        """  # noqa: E501
    )


def test_a_dry_run_shows_other_actions(config: MakeConfig, save: Callable[..., Path]) -> None:
    """What a signal with start would start is told too."""
    said = send(config(), "orders", save(type="order.noted", data={"amount": 0}), "--dry-run")
    assert said.code == 0
    assert said.output.endswith(
        "would signal_with_start note\n  id: notes\n  workflow: Notes\n  task queue: nobody\n"
        '  args: ["A-1"]\n  start args: []\n'
    )


def test_a_dry_run_shows_what_values_become(config: MakeConfig, save: Callable[..., Path]) -> None:
    """Search attributes with their types, converted, and the fairness key; or why they are not."""
    said = send(config(), "typed", save(), "--dry-run")
    assert said.code == 0
    assert said.output.endswith(
        '  search attributes: {"Amount": {"type": "Double", "value": 12.0},'
        ' "Customer": {"type": "Keyword", "value": "12"}}\n  fairness key: 12\n'
    )
    said = send(config(), "typed", save(data={"amount": {"type": "Int", "value": 1}}), "--dry-run")
    assert said.code == 1
    assert "search_attributes.Amount: {'type': 'Int', 'value': 1} (an object) is no" in said.output


def test_a_route_without_a_filter_says_so(config: MakeConfig, save: Callable[..., Path]) -> None:
    """A route that takes everything is told as that; an ID that is derived is shown."""
    said = send(config(), "payments", save(), "--dry-run")
    assert said.code == 0
    assert "routes[0] start Pay: matches: it has no `when`" in said.output
    assert "  id: payments-e-1-" in said.output


@pytest.mark.parametrize(
    ("unmatched", "line", "code"),
    [
        ("ignore", "ignored: no route wants it", 0),
        ("reject", "rejected: no route wants it (unmatched: reject)", 1),
    ],
)
def test_an_event_that_no_route_wants(
    config: MakeConfig, save: Callable[..., Path], unmatched: str, line: str, code: int
) -> None:
    """It says what the listener would do with it; exit code 1 where it would be refused."""
    event = save(type="order.placed", data={"amount": 1})
    said = send(config(unmatched=unmatched), "orders", event, "--dry-run")
    assert (said.code, said.last) == (code, line)


def test_what_cannot_be_evaluated_is_told(config: MakeConfig, save: Callable[..., Path]) -> None:
    """A filter, or an action, that needs what the event lacks is told, and the event refused."""
    lacking = [{**EVENT, "data": {}}, {**EVENT, "data": {"amount": 11}}]
    said = send(config(), "orders", save(lacking), "--dry-run")
    assert said.code == 1
    assert "routes[1] start FulfilOrder: when: " in said.output
    assert "routes[1] start FulfilOrder: matches, but event.data.order: the event" in said.output
    assert said.output.count("rejected: a route cannot be evaluated for it\n") == 2


# For real. ---------------------------------------------------------------------------------------


async def test_a_saved_event_starts_its_workflow(
    config: MakeConfig,
    save: Callable[..., Path],
    temporal_server: TemporalServer,
    client: Client,
    tmp_path: Path,
) -> None:
    """Sent, events do what the listener would do with them; sent again, nothing new."""
    path = config(port=temporal_server.port, prefix=f"{tmp_path.name}-")
    events = [EVENT, {**EVENT, "id": "e-2", "subject": "A-2"}, {**EVENT, "type": "other"}]
    said = send(path, "orders", save(events))
    assert (said.code, said.errors) == (0, "")
    handle = client.get_workflow_handle(f"{tmp_path.name}-order-A-1")
    started = await handle.describe()
    first, second = said.output.splitlines()[-2:]
    assert first == f"event e-1: accepted (run {started.run_id})"
    assert second.startswith("event e-2: accepted (run ")
    assert "ignored: no route wants it" in said.output
    assert (await started.memo())["event"]["listener"] == "orders"
    again = send(path, "orders", save())
    assert again.code == 0
    assert again.last == "event e-1: duplicate: Temporal has it already, nothing new was started"
    assert (await handle.describe()).run_id == started.run_id
    for subject in ("A-1", "A-2"):
        await client.get_workflow_handle(f"{tmp_path.name}-order-{subject}").terminate()


def test_what_temporal_refuses_is_an_error(
    config: MakeConfig, save: Callable[..., Path], temporal_server: TemporalServer
) -> None:
    """An event that Temporal will not take is said in a line, with exit code 1."""
    event = save(type="order.cancelled", subject="none")
    said = send(config(port=temporal_server.port), "orders", event)
    assert said.code == 1
    last = said.errors.splitlines()[-1]
    assert last.startswith("error: event e-1: signal cancel (order-none): NOT_FOUND")
    assert "Traceback" not in said.errors


def test_no_temporal_is_an_error(config: MakeConfig, save: Callable[..., Path]) -> None:
    """Without a Temporal it tries for as long as `retry` says, and then says so: exit code 1."""
    said = send(config(), "orders", save())
    assert said.code == 1
    assert "attempt 1 failed, transient ConnectionRefused" in said.errors
    error = said.errors.partition("error: ")[2]
    assert error.startswith("Temporal at 127.0.0.1:")
    assert "gave up after" in error


# What a user can get wrong. ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "has no event in it"),
        (7, "is no CloudEvent: a CloudEvent is a JSON object"),
        ({**EVENT, "id": ""}, "is no CloudEvent: id has to be a text that is not empty"),
        ({**EVENT, "source": None}, "is no CloudEvent: source has to be a text that is not"),
        ({"id": "1", "type": "x"}, "is no CloudEvent: specversion is missing"),
        ({**EVENT, "type": 7}, "is no CloudEvent: type has to be a text that is not empty"),
        ({**EVENT, "subject": 7}, "is no CloudEvent: subject has to be a text"),
        ({**EVENT, "specversion": "0.3"}, "is no CloudEvent: specversion is '0.3': only 1.0 is"),
        ({**EVENT, "time": "noon"}, "is no CloudEvent: time is 'noon': write it such as 2026-"),
        ({**EVENT, "time": "2026-01-31T12:00"}, "time is '2026-01-31T12:00': write it such as"),
        ({**EVENT, "data_base64": "eA=="}, "is no CloudEvent: data and data_base64 exclude"),
        ([EVENT, {}], "event.json[1]: is no CloudEvent: specversion is"),
    ],
)
def test_a_wrong_file_says_why(save: Callable[..., Path], content: object, problem: str) -> None:
    """A file that holds no event is an error that says why."""
    with pytest.raises(UsageError) as raised:
        read_events(save(content))
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A missing file and one that is no JSON are told apart."""
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read: No such file or directory"):
        read_events(tmp_path / "gone.json")
    (tmp_path / "odd.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"odd\.json: is not JSON: "):
        read_events(tmp_path / "odd.json")
    (tmp_path / "latin.json").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"latin\.json: is not UTF-8$"):
        read_events(tmp_path / "latin.json")


def test_what_a_user_gets_wrong_is_one_line(config: MakeConfig, save: Callable[..., Path]) -> None:
    """A wrong file, listener or config is a line with its next step, and exit code 2."""
    path, event = config(), save()
    for arguments, line in [
        ((path, "orders", path), f"{path}: is not JSON: "),
        ((path, "order", event), "config.yaml: there is no listener 'order'; did you mean orders?"),
        ((path, "x", event), "config.yaml: there is no listener 'x'; there are: orders, payments"),
    ]:
        said = send(*arguments)
        assert (said.code, said.output) == (2, "")
        assert said.errors.startswith(line)
        assert said.errors.count("\n") == 1
