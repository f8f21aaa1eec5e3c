"""What a start would refuse, or can never do, is said by `validate`, which needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from temporal_runner.config.load import load
from temporal_runner.config.problems import ConfigError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from tests.config.reading import found, fresh_imports, plan_of, write_flows  # noqa: F401
from tests.conftest import WriteConfig
from tests.support import run_runner

MODULE = """
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypedDict
import typing_extensions
from pydantic import BaseModel
from temporalio import activity, workflow
from datetime import datetime
from uuid import UUID
from temporalio.api.common.v1 import Payload
from temporalio.common import VersioningBehavior
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin

@workflow.defn
class A:
    @workflow.run
    async def run(self): ...

@workflow.defn
class B:
    @workflow.run
    async def run(self): ...

@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class Pinned:
    @workflow.run
    async def run(self): ...

@activity.defn
def plain(): ...

@activity.defn
def other(): ...

@activity.defn
async def later(): ...

class Typed(TypedDict):
    name: str

class Extended(typing_extensions.TypedDict):
    name: str

class Model(BaseModel):
    inner: list[Extended]

class Odd: ...

@workflow.defn
class TakesTyped:
    @workflow.run
    async def run(self, order: Typed): ...

@workflow.defn
class SignalTakesTyped:
    @workflow.run
    async def run(self): ...
    @workflow.signal
    def hear(self, orders: list[Typed]): ...

@workflow.defn
class UpdateTakesTyped:
    @workflow.run
    async def run(self): ...
    @workflow.update
    def hear(self, orders: dict[str, Typed | None]): ...

@workflow.defn
class TakesExtended:
    @workflow.run
    async def run(self, order: Extended, model: Model, message: Payload): ...

@activity.defn
def returns_typed() -> Typed: ...

@activity.defn
def takes_typed(order: Typed): ...

@activity.defn
def takes_much(a: Extended, b: Model, c: bytes, d: UUID, e: datetime | None): ...

@activity.defn
def takes_odd(odd: list[Odd]): ...

def processes() -> ProcessPoolExecutor: return ProcessPoolExecutor()
def threads() -> ThreadPoolExecutor: return ThreadPoolExecutor()
def either() -> Executor: return ThreadPoolExecutor()
def untold(): return ThreadPoolExecutor()
class OwnExecutor(Executor): ...
def converter() -> DataConverter: return pydantic_data_converter
def plugin() -> SimplePlugin: return SimplePlugin("x")
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    """The module that these tests name."""
    write_flows(tmp_path, MODULE, "mod")


def worker(name: str = "w", queue: str = "q", **options: str) -> str:
    options = {key: value for key, value in options.items() if value}
    lines = "".join(f"    {key}: {value}\n" for key, value in options.items())
    return f"  {name}:\n    task_queue: {queue}\n{lines}"


def told(write_config: WriteConfig, *workers: str, more: str = "") -> list[str]:
    """Problems without their places."""
    lines = found(write_config("workers:\n" + "".join(workers) + more))
    return [line.partition(" ")[2] for line in lines]


# Workers of one task queue. -----------------------------------------------------------------------

REFUSED = "the SDK refuses a second in one process"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"workflows": "['mod:A']"}, {"workflows": "['mod:B']"}, REFUSED),
        ({"workflows": "['mod:A']"}, {"workflows": "['mod:A']"}, REFUSED),
        ({"activities": "['mod:plain']"}, {"activities": "['mod:other']"}, REFUSED),
        ({"workflows": "['mod:A']", "identity": "a"}, {"workflows": "['mod:B']", "identity": "b"},
         REFUSED),
        ({"workflows": "['mod:A']"}, {"activities": "['mod:plain']"}, ""),
        ({"workflows": "['mod:A']", "activities": "['mod:plain']", "no_remote_activities": "true"},
         {"activities": "['mod:other']"}, ""),
        ({"workflows": "['mod:A']", "processes": "2"}, {"workflows": "['mod:B']"},
         "has not the workflow A of w: give both the same"),
        ({"workflows": "['mod:A', 'mod:B']", "processes": "2"},
         {"workflows": "['mod:B']", "processes": "2"}, "has not the workflow A of w"),
        ({"activities": "['mod:plain']", "processes": "2"},
         {"activities": "['mod:other']", "processes": "2"}, "has not the activity plain of w"),
        ({"workflows": "['mod:A']", "processes": "2"}, {"workflows": "['mod:A']"}, ""),
        ({"workflows": "['mod:A']", "connection": "same"}, {"workflows": "['mod:B']"},
         "has not the workflow A of w"),
        ({"workflows": "['mod:A']", "connection": "far"}, {"workflows": "['mod:B']"}, ""),
    ],
)  # fmt: skip
def test_workers_of_one_task_queue(
    write_config: WriteConfig, one: dict[str, str], other: dict[str, str], expected: str
) -> None:
    """What the SDK refuses is an error; tasks that go to a worker that lacks them are a warning."""
    more = "connections:\n  same: {rpc_timeout: 2s}\n  far: {namespace: elsewhere}\n"
    lines = told(write_config, worker("w", **one), worker("x", **other), more=more)
    if not expected:
        assert lines == []
        return
    assert any(expected in line for line in lines)
    assert all(line.startswith("warning: ") for line in lines) is (expected != REFUSED)


def test_builds_of_a_deployment_share_a_queue(write_config: WriteConfig) -> None:
    """The server gives each version its own tasks."""

    def build(name: str, number: int) -> str:
        deployment = f"{{name: d, build_id: '{number}', default_versioning_behavior: pinned}}"
        return worker(name, workflows="['mod:A']", deployment=deployment)

    assert told(write_config, build("w", 1), build("x", 2)) == []
    assert REFUSED in told(write_config, build("w", 1), build("x", 1))[0]


def test_workers_that_run_apart_may_share_a_queue(write_config: WriteConfig) -> None:
    """Where `--only` runs one of them, nothing is refused."""
    config = "workers:\n" + worker("w", workflows="['mod:A']") + worker("x", workflows="['mod:A']")
    path = write_config(config)
    assert plan_of(path, only=("w",)).warnings == ()
    with pytest.raises(ConfigError, match=REFUSED):
        plan_of(path, only=("w", "x"))


# One worker. --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "activities", "refused"),
    [
        ("processes", "['mod:plain', 'mod:later']", "makes a ProcessPoolExecutor"),
        ("ProcessPoolExecutor", "['mod:plain']", "makes a ProcessPoolExecutor"),
        ("OwnExecutor", "['mod:plain']", "makes a OwnExecutor"),
        ("processes", "['mod:later']", ""),
        ("threads", "['mod:plain']", ""),
        ("either", "['mod:plain']", ""),
        ("untold", "['mod:plain']", ""),
    ],
)
def test_executors(write_config: WriteConfig, factory: str, activities: str, refused: str) -> None:
    """The SDK takes one of processes only with a shared state manager, which no file can give."""
    executor = f"{{factory: 'mod:{factory}'}}"
    lines = told(write_config, worker(activities=activities, activity_executor=executor))
    assert [refused in line for line in lines] == ([True] if refused else [])


@pytest.mark.parametrize(
    ("workflows", "deployment", "refused"),
    [
        ("['mod:A', 'mod:Pinned', 'mod:B']", "{name: d, build_id: '1'}", "A, B say nothing of it"),
        ("['mod:Pinned']", "{name: d, build_id: '1'}", ""),
        ("['mod:A']", "{name: d, build_id: '1', use_worker_versioning: false}", ""),
        ("['mod:A']", "{name: d, build_id: '1', default_versioning_behavior: pinned}", ""),
        ("['mod:A']", ("{name: d, build_id: '1', default_versioning_behavior: pinned,"
                       " use_worker_versioning: false}"), "leave one of the two out"),
    ],
)  # fmt: skip
def test_versioning(
    write_config: WriteConfig, workflows: str, deployment: str, refused: str
) -> None:
    """A workflow of a versioned worker says what a new version means to it, or the worker does."""
    lines = told(write_config, worker(workflows=workflows, deployment=deployment))
    assert [refused in line for line in lines] == ([True] if refused else [])


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic reads them from Python 3.12 on")
@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("workflows", "TakesTyped"),
        ("workflows", "SignalTakesTyped"),
        ("workflows", "UpdateTakesTyped"),
        ("activities", "returns_typed"),
        ("activities", "takes_typed"),
    ],
)
def test_typed_dicts_of_typing(write_config: WriteConfig, section: str, name: str) -> None:
    """The pydantic converter cannot read them before Python 3.12: each task would fail."""
    options = {section: f"['mod:{name}']"}
    (line,) = told(write_config, worker(**options))
    assert line.startswith(f"workers.w.{section}: {name}: Typed: ") or "[" in line
    assert line.endswith("import it from typing_extensions")
    more = "temporal: {data_converter: 'mod:converter'}\n"
    assert told(write_config, worker(**options), more=more) == []
    more = "temporal: {plugins: ['mod:plugin']}\n"
    assert told(write_config, worker(**options), more=more) == []


def test_types_that_can_be_read(write_config: WriteConfig) -> None:
    """Or that another of the SDK's converters may read."""
    text = worker(workflows="['mod:TakesExtended']", activities="['mod:takes_much']")
    assert told(write_config, text) == []
    (line,) = told(write_config, worker(activities="['mod:takes_odd']"))
    assert line == (
        "warning: workers.w.activities: takes_odd: list[mod.Odd] is a type that pydantic cannot"
        " read: its tasks will fail"
    )


def test_a_grace_that_is_longer_than_the_end(write_config: WriteConfig) -> None:
    """The runner ends at `shutdown_timeout`, whatever a worker's activities are given."""
    text = worker(activities="['mod:plain']", graceful_shutdown_timeout="1m")
    (line,) = told(write_config, text)
    assert line.startswith("warning: workers.w.graceful_shutdown_timeout: ")
    assert "is 1m, and shutdown_timeout 45s" in line
    assert told(write_config, text, more="shutdown_timeout: 2m\n") == []
    assert told(write_config, text.replace("1m", "45s")) == []
    default = worker(activities="['mod:plain']")
    assert len(told(write_config, default, more="shutdown_timeout: 5s\n")) == 1
    assert told(write_config, worker(workflows="['mod:A']"), more="shutdown_timeout: 5s\n") == []


def test_a_worker_with_nothing_to_do(write_config: WriteConfig) -> None:
    """The SDK refuses to run it."""
    text = worker(activities="['mod:plain']", no_remote_activities="true")
    (line,) = told(write_config, text)
    assert line == (
        "workers.w.no_remote_activities: leaves this worker nothing to do: it has no workflows"
    )
    assert told(write_config, text + "    workflows: ['mod:A']\n") == []


# Files of certificates. ---------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["temporal", "connections:\n  far"])
@pytest.mark.parametrize("file", ["nowhere.pem", ".", "secret.pem/x"])
def test_certificates_that_are_not_there(
    write_config: WriteConfig, tmp_path: Path, section: str, file: str
) -> None:
    """Each is reported where it is written."""
    (tmp_path / "secret.pem").write_text("x")
    tls = f"{{tls: {{server_ca_cert_path: {file}, client_cert_path: secret.pem, "
    tls += f"client_key_path: {file}}}}}"
    lines = told(write_config, worker(workflows="['mod:A']"), more=f"{section}: {tls}\n")
    path = section.replace(":\n  ", ".")
    assert [line.partition(": ")[0] for line in lines] == [
        f"{path}.tls.server_ca_cert_path",
        f"{path}.tls.client_key_path",
    ]
    assert all("cannot read " in line for line in lines)


def test_a_missing_certificate_is_reported_once(write_config: WriteConfig) -> None:
    """Connections on the default cluster inherit its options, and none of their mistakes."""
    more = "temporal: {tls: {server_ca_cert_path: nowhere.pem}}\nconnections: {b: {namespace: b}}\n"
    assert len(told(write_config, worker(workflows="['mod:A']"), more=more)) == 1
    more = "temporal: {tls: {disabled: true, server_ca_cert_path: nowhere.pem}}\n"
    assert told(write_config, worker(workflows="['mod:A']"), more=more) == []


# The sandbox. -------------------------------------------------------------------------------------

CARELESS = """
{line}
from temporalio import workflow
@workflow.defn
class Careless:
    @workflow.run
    async def run(self): ...
"""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import datetime; datetime.datetime.now()", "RestrictedWorkflowAccessError: Cannot"),
        ("import random; random.random()", "RestrictedWorkflowAccessError: Cannot access"),
        ("import sys\nif 'seen' in sys.__dict__: 1 / 0\nsys.seen = 1", "ZeroDivisionError"),
    ],
)
def test_workflows_that_the_sandbox_cannot_load(
    write_config: WriteConfig, line: str, why: str
) -> None:
    """`validate` loads each once as a worker does."""
    write_config(CARELESS.format(line=line), "careless.py")
    text = "import_paths: [.]\nworkers:\n" + worker(workflows="['mod:A', careless]")
    code, output = run_runner("validate", write_config(text))
    assert code == 2
    assert f"workflows[1]: Careless does not load in the sandbox: {why}" in output
    assert "passthrough_modules" in output
    assert "Traceback" not in output


def test_workflows_that_need_no_sandbox(write_config: WriteConfig) -> None:
    """What is not run there need not load there."""
    write_config(CARELESS.format(line="import random; random.random()"), "careless.py")
    base = "import_paths: [.]\nworkers:\n" + worker(workflows="[careless]")
    for more in ("    sandbox: false\n", "    passthrough_modules: [careless]\n"):
        assert run_runner("validate", write_config(base + more))[0] == 0
    write_config(
        CARELESS.format(line="import random; random.random()").replace(
            "defn", "defn(sandboxed=False)"
        ),
        "careless.py",
    )
    assert run_runner("validate", write_config(base))[0] == 0


def test_a_start_does_not_load_them_twice(write_config: WriteConfig) -> None:
    """Its workers see it."""
    write_config(CARELESS.format(line="import random; random.random()"), "careless.py")
    text = "import_paths: [.]\nworkers:\n" + worker(workflows="[careless]")
    assert make_plan(load(write_config(text)), Catalog.installed()).workers
