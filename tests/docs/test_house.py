"""The picture of the house is drawn from the code, and not stale."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from tests.support import ROOT


@pytest.fixture(scope="module")
def house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_the_imports_say(house: ModuleType) -> None:
    """`make docs` draws it anew."""
    assert house.PICTURE.read_text() == house.draw(), "make docs"


def test_every_room_and_module_stands_in_it(house: ModuleType) -> None:
    """No folder or module of the framework is left out."""
    drawn = set(re.findall(r"[\w]+", house.PICTURE.read_text()))
    missing = {
        file.stem if file.stem != "__init__" else file.parent.name
        for file in (ROOT / "framework" / "temporal_runner").rglob("*.py")
    } - drawn
    assert missing == set()
