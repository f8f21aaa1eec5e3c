"""Fixtures of the fault suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.scale import FULL


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Show how far a test is, in the full form, whose tests take minutes."""

    def show(text: str) -> None:
        if FULL:
            with capsys.disabled():
                print(f"\n  {text}", end="", flush=True)

    return show
