"""Nothing is called to find out what it is: an activity that lacks its decorator would run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Interceptor

from temporal_runner.plan.definitions import activities_of, extension_of, factory_of
from temporal_runner.plan.imports import DefinitionError
from temporal_runner.plan.sdk_internals import activity_type
from tests.config.reading import fresh_imports, write_flows  # noqa: F401

SHOP = """
import functools
from typing import Any, Self
from temporalio import activity, workflow
from temporalio.client import Interceptor

charged = []

def charge(why):
    charged.append(why)

def plain(): charge("plain")
def with_default(order=None) -> dict: charge("with_default")
async def coroutine(): charge("coroutine")
async def declared_coroutine() -> "Shipping": charge("declared_coroutine")
def generator(): charge("generator"); yield
def declared_generator() -> "Shipping": charge("declared_generator"); yield
def returns_none() -> None: charge("returns_none")
def returns_any() -> Any: charge("returns_any")
def returns_nowhere() -> "Nowhere": charge("returns_nowhere")
def returns_receipt() -> "Receipt": charge("returns_receipt")
anonymous = lambda: charge("anonymous")
part = functools.partial(plain)
part_of_coroutine = functools.partial(coroutine)

@functools.wraps(declared_coroutine)
def wrapped_coroutine(): charge("wrapped_coroutine")

class Receipt:
    def __init__(self): charge("Receipt")
    def __call__(self): charge("Receipt()")

class Caller:
    def __call__(self): charge("Caller()")

caller = Caller()

class Shipping:
    @activity.defn
    def pack(self): charge("pack")
    @staticmethod
    @activity.defn
    def weigh(): charge("weigh")
    def label(self): charge("label")
    @property
    def cost(self): charge("cost")
    @functools.cached_property
    def total(self): charge("total")
    @classmethod
    def open(cls) -> Self: return cls()
    @classmethod
    def open_by_name(cls) -> "Shipping": return cls()

shipping = Shipping()
pack = Shipping.pack

def make(size: int = 1) -> Shipping: return Shipping()
make_large = functools.partial(make, 2)
make_class = functools.partial(Shipping)

class Maker:
    def __call__(self) -> Shipping: return Shipping()

@activity.defn
class Paying:
    def __call__(self, order: dict) -> None: charge("paying")

paying = Paying()

class Sending:
    @activity.defn(name="send")
    def __call__(self) -> None: charge("send")

sending = Sending()

@activity.defn
def an_activity() -> Interceptor: charge("an_activity")

class Watching(Interceptor): ...
class Unrelated:
    def __init__(self): charge("Unrelated")
def makes_watching() -> Watching: return Watching()
def makes_any(): return Watching()
def makes_union() -> Interceptor | None: return Watching()
def makes_receipt() -> Receipt: charge("makes_receipt")
async def makes_later() -> Interceptor: charge("makes_later")
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path) -> None:
    """The module that these tests name."""
    write_flows(tmp_path, SHOP, "shop")


def charged() -> Any:
    """What ran of the user's code."""
    return sys.modules["shop"].charged


@pytest.mark.parametrize(
    "name",
    [
        "plain", "with_default", "coroutine", "declared_coroutine", "generator",
        "declared_generator", "returns_none", "returns_any", "returns_nowhere", "returns_receipt",
        "anonymous", "part", "part_of_coroutine", "wrapped_coroutine", "Receipt", "caller",
        "Shipping.label", "shipping.label", "charge",
    ],
)  # fmt: skip
def test_what_is_no_activity_is_never_called(name: str) -> None:
    """A function that lacks its decorator says so, and does not run: it could charge everybody."""
    with pytest.raises(DefinitionError, match=r"is no activity: .*@activity\.defn"):
        activities_of(f"shop:{name}")
    assert charged() == []


def test_the_message_of_a_plain_function() -> None:
    """It says what is missing, and how a factory is declared."""
    with pytest.raises(DefinitionError) as caught:
        activities_of("shop:plain")
    assert str(caught.value) == (
        "shop:plain is no activity: @activity.defn is missing (a function that makes an object of"
        " activities says so: -> ItsClass)"
    )


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("Shipping", {"pack", "weigh"}),
        ("shipping", {"pack", "weigh"}),
        ("make", {"pack", "weigh"}),
        ("make_large", {"pack", "weigh"}),
        ("make_class", {"pack", "weigh"}),
        ("Shipping.open", {"pack", "weigh"}),
        ("Shipping.open_by_name", {"pack", "weigh"}),
        ("Shipping.weigh", {"weigh"}),
        ("shipping.pack", {"pack"}),
        ("Paying", {"Paying"}),
        ("paying", {"Paying"}),
        ("Sending", {"send"}),
        ("sending", {"send"}),
    ],
)
def test_classes_and_declared_factories_are(name: str, types: set[str]) -> None:
    """A class makes its object, and so does what says that it returns one; nothing else runs."""
    found = activities_of(f"shop:{name}")
    assert {activity_type(item) for item in found} == types
    assert not any(isinstance(item, type) for item in found)
    assert charged() == []


@pytest.mark.parametrize(("name", "owner"), [("Shipping.pack", "shop:Shipping"), ("pack", "its")])
def test_a_method_without_its_object_is_refused(name: str, owner: str) -> None:
    """The SDK takes it, and each task fails for want of `self`."""
    with pytest.raises(DefinitionError, match=f"is a method without its object: name {owner}"):
        activities_of(f"shop:{name}")


@pytest.mark.parametrize("name", ["Watching", "makes_watching", "makes_any", "makes_union"])
def test_an_extension_is_made(name: str) -> None:
    """The option's name says that a function there is called; it need not say more itself."""
    assert isinstance(extension_of(f"shop:{name}", Interceptor), Interceptor)


@pytest.mark.parametrize(
    "name", ["Unrelated", "makes_receipt", "makes_later", "an_activity", "coroutine", "generator"]
)
def test_what_makes_no_extension_is_not_called(name: str) -> None:
    """What says that it is something else is not tried out."""
    with pytest.raises(DefinitionError):
        extension_of(f"shop:{name}", Interceptor)
    assert charged() == []


@pytest.mark.parametrize("name", ["coroutine", "generator", "an_activity"])
def test_what_makes_no_executor_is_refused(name: str) -> None:
    """A coroutine is no executor, and would be seen only when the worker starts."""
    with pytest.raises(DefinitionError, match="no function that returns what is wanted at once"):
        factory_of(f"shop:{name}")
    assert charged() == []
