"""What a worker's section names is imported, and what is wrong with it is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporal_runner.plan.definitions import (
    activities_of,
    exception_of,
    extension_of,
    factory_of,
    workflows_of,
)
from temporal_runner.plan.imports import DefinitionError, import_target
from temporal_runner.plan.sdk_internals import activity_type, workflow_type
from tests.config.reading import fresh_imports, write_flows  # noqa: F401

MORE = '''
from collections.abc import Sequence
from temporalio import activity, workflow
from temporalio.common import RawValue
from shop_flows import FulfilOrder, ship_order   # not this module's own

@workflow.defn(dynamic=True)
class Anything:
    @workflow.run
    async def run(self, args: Sequence[RawValue]): ...

class Child(FulfilOrder):
    """Inherits a definition and has none of its own."""

class Shipping:
    @activity.defn
    def pack(self): ...
    @activity.defn(name="send")
    async def post(self): ...
    @property
    def broken(self):
        raise RuntimeError("a property that nobody should read")

def make_shipping() -> "Shipping":
    return Shipping()

def fails() -> Shipping:
    raise OSError("no database")

def leaves() -> Shipping:
    raise SystemExit("no database")

class Lazy:
    def __getattr__(self, name):
        raise RuntimeError(f"lazily: {name}")

lazy = Lazy()
number = 5
'''


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    """The modules that these tests name."""
    write_flows(tmp_path)
    write_flows(tmp_path, MORE, "more_flows")
    write_flows(tmp_path, "number = 1", "plain_module")
    write_flows(tmp_path, "import nowhere_at_all", "needs_more")
    write_flows(tmp_path, "\n\nraise SystemExit('stop!')", "stops")
    write_flows(tmp_path, "def f(:", "garbled")
    write_flows(
        tmp_path,
        """
        from temporalio import workflow
        @workflow.defn
        class NoRun: ...
        """,
        "no_run",
    )


def test_a_module_gives_all_that_it_defines() -> None:
    """A module stands for its own definitions, and not for those that it imports."""
    assert {workflow_type(found) for found in workflows_of("shop_flows")} == {
        "FulfilOrder",
        "Refund",
    }
    assert {activity_type(found) for found in activities_of("shop_flows")} == {
        "ship_order",
        "weigh",
    }
    assert [workflow_type(found) for found in workflows_of("more_flows")] == [""]


def test_one_definition() -> None:
    """A target names one workflow or one activity."""
    assert [found.__name__ for found in workflows_of("shop_flows:RefundOrder")] == ["RefundOrder"]
    assert [activity_type(found) for found in activities_of("shop_flows:weigh_order")] == ["weigh"]


@pytest.mark.parametrize("target", ["more_flows:Shipping", "more_flows:make_shipping"])
def test_an_objects_methods(target: str) -> None:
    """A class or a factory gives its object's activities; properties are not run into."""
    assert {activity_type(found) for found in activities_of(target)} == {"pack", "send"}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere_at_all", "there is no module 'nowhere_at_all': check the spelling and"),
        ("shop_flows.deeper:X", "there is no module 'shop_flows.deeper'"),
        ("needs_more", "needs_more does not import: No module named 'nowhere_at_all'"),
        ("stops", "stops does not import: SystemExit: stop! ({folder}/stops.py:3)"),
        ("garbled", "garbled does not import: SyntaxError: "),
        ("no_run", "no_run does not import: ValueError: Invalid workflow class"),
        ("shop_flows:FulfillOrder", "there is no 'FulfillOrder' in shop_flows; did you mean"),
        ("more_flows:lazy.thing", "more_flows:lazy.thing cannot be read: RuntimeError: lazily"),
    ],
)  # fmt: skip
def test_what_does_not_import(tmp_path: Path, target: str, message: str) -> None:
    """Whatever a module raises, its name and the cause are told, with the user's own line."""
    with pytest.raises(DefinitionError) as caught:
        import_target(target)
    assert str(caught.value).startswith(message.format(folder=tmp_path))


def test_the_line_is_the_users_own(tmp_path: Path) -> None:
    """Where the SDK raises at the user's definition, the user's line is shown."""
    with pytest.raises(DefinitionError) as caught:
        workflows_of("no_run")
    assert str(caught.value).endswith(f"({tmp_path}/no_run.py:3)")


@pytest.mark.parametrize(
    ("find", "target", "message"),
    [
        (workflows_of, "plain_module", "plain_module defines no workflow"),
        (workflows_of, "shop_flows:NoWorkflow", "shop_flows:NoWorkflow is no workflow: it has no"),
        (workflows_of, "shop_flows:ship_order", "shop_flows:ship_order is no workflow"),
        (workflows_of, "more_flows:Child", "more_flows:Child is no workflow"),
        (activities_of, "plain_module", "plain_module defines no activity"),
        (activities_of, "shop_flows:no_activity", "shop_flows:no_activity is no activity"),
        (activities_of, "more_flows:number", "more_flows:number is no activity"),
        (activities_of, "more_flows:fails", "more_flows:fails cannot be called without arguments:"),
        (activities_of, "more_flows:leaves", "more_flows:leaves cannot be called without"),
        (factory_of, "more_flows:number", "more_flows:number is no function: it is a int"),
        (exception_of, "shop_flows:NoWorkflow", "shop_flows:NoWorkflow is no exception class"),
    ],
)
def test_what_is_not_what_it_should_be(find: object, target: str, message: str) -> None:
    """A name that imports and is the wrong thing says what it is not."""
    assert callable(find)
    with pytest.raises(DefinitionError) as caught:
        find(target)
    assert str(caught.value).startswith(message)


def test_extensions() -> None:
    """An extension is an instance, or what makes one."""
    assert extension_of("more_flows:number", int) == 5
    assert type(extension_of("more_flows:make_shipping", object)).__name__ == "function"
    with pytest.raises(DefinitionError, match="gives a Shipping, not a int"):
        extension_of("more_flows:make_shipping", int)
