"""Fixtures: the images, built once a session, and the system at work in containers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.containers import engine
from tests.containers.stack import Stack

MakeStack = Callable[..., Stack]


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Skip where there is no engine, and where nobody asked for containers."""
    if reason := engine.missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def image(_engine: None) -> str:
    """The project's image."""
    return engine.runner_image()


@pytest.fixture(scope="session")
def images(image: str) -> dict[str, str]:
    """The image and those of the emulators, by the variables that the compose files read."""
    return {"RUNNER_IMAGE": image, **engine.emulator_images()}


@pytest.fixture
def make_stack(images: dict[str, str], tmp_path: Path) -> Iterator[MakeStack]:
    """A system of the test's own, nothing of it started yet but the emulators."""
    with ExitStack() as stacks:

        def make(compose: list[str] | None = None) -> Stack:
            stack = stacks.enter_context(Stack(compose or engine.compose_1(), images, tmp_path))
            stack.start_emulators()
            return stack

        yield make


@pytest.fixture(scope="module")
def stack(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system, healthy; a test leaves it so."""
    with Stack(engine.compose_1(), images, tmp_path_factory.mktemp("stack")) as stack:
        stack.start_emulators()
        stack.up()
        stack.wait_health("healthy")
        yield stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the containers said belongs to a failure's report."""
    report = yield
    if report.failed and call.when != "teardown":
        for stack in Stack.alive:
            report.sections += stack.said()
    return report
