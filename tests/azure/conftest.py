"""Fixtures: one Azurite a test process, one queue and container a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.azure.azurite import Azurite
from tests.azure.support import Storage


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """The emulator, for every test that does not harm it."""
    emulator = Azurite()
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def own_azurite() -> Iterator[Azurite]:
    """An emulator of the test's own, not started yet."""
    emulator = Azurite()
    yield emulator
    emulator.stop()


@pytest.fixture
def storage(azurite: Azurite) -> Iterator[Storage]:
    """This test's queue, poison queue and container."""
    storage = Storage(azurite)
    yield storage
    storage.close()
