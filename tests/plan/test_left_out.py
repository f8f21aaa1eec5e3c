"""What the name of a module stands for, and a word for each definition that it leaves out."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from temporal_runner.plan import imports
from temporal_runner.plan.definitions import activities_of, workflows_of
from temporal_runner.plan.imports import import_target
from temporal_runner.plan.sdk_internals import activity_type, workflow_type
from tests.config.reading import found, fresh_imports, plan_of, write_flows  # noqa: F401
from tests.conftest import WriteConfig
from tests.support import wait_until

TOOLS = """
import functools

def logged(function):
    def wrapper(order: dict): return function(order)
    return wrapper

def logged_well(function):
    @functools.wraps(function)
    def wrapper(*args): return function(*args)
    return wrapper
"""
ACTS = """
from dataclasses import dataclass
from temporalio import activity, workflow
from tools import logged, logged_well

@activity.defn(name="above")
@logged
def above(order: dict): ...

@logged
@activity.defn
def below(order: dict): ...

@logged_well
@activity.defn
def well(order: dict): ...

again = well

@activity.defn
class Paying:
    def __call__(self, order: dict) -> None: ...

paying = Paying()

class Shipping:
    @activity.defn
    def pack(self): ...

packing = Shipping.pack

@workflow.defn
class Flow:
    @workflow.run
    async def run(self): ...

class Child(Flow): ...

@dataclass(slots=True)
@workflow.defn
class Copied:
    @workflow.run
    async def run(self): ...
"""


LATE = """
from temporalio import activity

class Late:
    def __init__(self):
        {wait}
    @activity.defn
    def act(self): ...
"""


def config(activities: str, workflows: str = "[]", more: str = "") -> str:
    return (
        f"workers:\n  w:\n    task_queue: q\n    activities: {activities}\n"
        f"    workflows: {workflows}\n{more}"
    )


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    """A module of activities, a package that hands on what is below it, and one that imports."""
    write_flows(tmp_path, TOOLS, "tools")
    write_flows(tmp_path, ACTS, "acts")
    (tmp_path / "shop").mkdir()
    write_flows(tmp_path / "shop", "from shop.inner import pick, Gather", "__init__")
    inner = """
    from temporalio import activity, workflow
    @activity.defn
    def pick(): ...
    @workflow.defn
    class Gather:
        @workflow.run
        async def run(self): ...
    """
    write_flows(tmp_path / "shop", inner, "inner")
    uses = """
    from temporalio import activity, workflow
    from acts import above, well, Flow
    from shop import pick
    @activity.defn
    def own(): ...
    @workflow.defn
    class Own:
        @workflow.run
        async def run(self): ...
    """
    write_flows(tmp_path, uses, "uses")


def test_what_a_module_made_is_its_own() -> None:
    """Whatever a decorator of another module says of itself; once, under whatever names."""
    types = [activity_type(item) for item in activities_of("acts")]
    assert sorted(map(str, types)) == ["Paying", "above", "well"]


def test_a_package_has_what_it_hands_on() -> None:
    """A re-export in its `__init__` is what the package says that it has."""
    assert [activity_type(item) for item in activities_of("shop")] == ["pick"]
    assert [workflow_type(item) for item in workflows_of("shop")] == ["Gather"]


def test_what_is_left_out_is_told(write_config: WriteConfig) -> None:
    """Each with how it is had."""
    told = [line.partition(": ")[2] for line in found(write_config(config("[acts]", "[acts]")))]
    of_activities, of_workflows = "workers.w.activities[0]: acts:", "workers.w.workflows[0]: acts:"
    assert told == [
        (
            f"{of_activities}Shipping is left out: an object's activities are had by its name:"
            " acts:Shipping"
        ),
        (
            f"{of_activities}below is left out: a decorator hides its @activity.defn: put"
            " @activity.defn above it"
        ),
        f"{of_activities}packing is left out: it is a method without its object",
        (f"{of_workflows}Child is left out: it inherits one, and has no @workflow.defn of its own"),
        (
            f"{of_workflows}Copied is left out: a decorator above @workflow.defn made another"
            " class of it: put that one below"
        ),
    ]


def test_what_is_imported_and_nobody_has(write_config: WriteConfig) -> None:
    """A module that only uses what others define does not stand for it."""
    assert [item.__name__ for item in activities_of("uses")] == ["own"]
    told = [line.partition(": ")[2] for line in found(write_config(config("[uses]", "[uses]")))]
    assert len(told) == 4
    assert told[3] == (
        "workers.w.workflows[0]: the workflow Flow is imported into uses, and no worker of this"
        " file has it: name acts:Flow if one should"
    )
    homes = [line.partition(": name ")[2].split()[0] for line in told]
    assert homes == ["acts:above", "shop.inner:pick", "acts:well", "acts:Flow"]


def test_what_another_worker_has_is_not_missed(write_config: WriteConfig) -> None:
    """Workflows import the activities that they call; those run where a worker has them."""
    more = (
        "  x:\n    task_queue: x\n    workflows: ['acts:Flow']\n"
        "    activities: ['acts:well', 'acts:above', 'shop:pick']\n"
    )
    assert found(write_config(config("[uses]", "[uses]", more))) == []


def test_an_object_that_is_named_is_not_missed(write_config: WriteConfig) -> None:
    """Its class stands beside the module's own definitions."""
    text = config("[acts, 'acts:Shipping']")
    assert not [line for line in found(write_config(text)) if "Shipping" in line]
    assert len(plan_of(write_config(text)).workers[0].activities) == 4


# Two files of one name. ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["twice.py", "twice/__init__.py"])
def test_two_files_of_one_name(write_config: WriteConfig, tmp_path: Path, name: str) -> None:
    """Which was loaded is said, once, and where the other is."""
    text = "from temporalio import activity\n"
    text += "@activity.defn\ndef a(): ...\n@activity.defn\ndef b(): ...\n"
    for folder in ("one", "two"):
        (tmp_path / folder / name).parent.mkdir(parents=True)
        (tmp_path / folder / name).write_text(text)
    told = found(write_config("import_paths: [one, two]\n" + config("['twice:a', 'twice:b']")))
    assert told == [
        (
            f"5:18 warning: workers.w.activities[0]: there are two modules 'twice':"
            f" {tmp_path}/one/{name} was loaded, and {tmp_path}/two/{name} was not"
        )
    ]


def test_a_module_beside_a_package_of_its_name(write_config: WriteConfig, tmp_path: Path) -> None:
    """Python takes the package."""
    write_flows(tmp_path, "", "shop")
    (told,) = found(write_config(config("[shop]")))
    assert told.endswith(f"{tmp_path}/shop/__init__.py was loaded, and {tmp_path}/shop.py was not")


def test_a_module_that_python_has_already(write_config: WriteConfig, tmp_path: Path) -> None:
    """The reason why a definition is not there."""
    write_flows(tmp_path, ACTS, "calendar")
    assert "calendar" in sys.modules
    missing, told = found(write_config(config("['calendar:well']")))
    assert "there is no 'well' in calendar" in missing
    assert told.endswith(f"calendar.py was loaded, and {tmp_path}/calendar.py was not")
    write_flows(tmp_path, ACTS, "sys")
    _, told = found(write_config(config("['sys:well']")))
    assert told.endswith("sys is a module of Python itself")


# What does not come back. -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("{wait}", "slow"),
        ("def __getattr__(name):\n    {wait}\n    raise AttributeError(name)", "slow:late"),
        (
            LATE,
            "slow:Late",
        ),
    ],
)
def test_an_import_that_does_not_end_is_told_of(
    write_config: WriteConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    text: str,
    target: str,
) -> None:
    """Again and again, with the line where it stands: it may wait for what never comes."""
    monkeypatch.setattr(imports, "_SAY_AFTER", 0.05)
    caplog.set_level(logging.WARNING)
    heard = "import logging_heard; logging_heard.wait()"
    write_flows(tmp_path, "", "logging_heard")
    module = import_target("logging_heard")
    module.wait = lambda: wait_until(lambda: caplog.text.count("still ") >= 2, within=20)
    (tmp_path / "slow.py").write_text(text.replace("{wait}", heard))
    found(write_config(config(f"['{target}']")))
    assert f"still {'making what' if 'Late' in target else 'importing'} {target}" in caplog.text
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) >= 2
    assert all("after 0." in line and line.endswith(")") for line in lines)


def test_an_import_that_ends_is_not_told_of(
    write_config: WriteConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is said of what comes back at once."""
    found(write_config(config("[uses]")))
    assert caplog.text == ""
