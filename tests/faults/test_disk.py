"""A full disk for inbox and dead letters: senders are told, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from tests.faults.ledger import Ledger, dead_letters_in, ledger_of
from tests.faults.sender import Sender
from tests.faults.system import System, webhook
from tests.support import wait_until

REFUSED = '{when: event.type == "never", start: Noted, id: never}\n    unmatched: reject'
Figure = Callable[[str, object], None]
T = TypeVar("T")


class Disk(Protocol):
    """Where the runner's files are.

    Attributes:
        what: What happens, for the ledger.
        folder: The folder.
        lasts: What is full is full for another process too.
    """

    what: str
    folder: Path
    lasts: bool

    def fill(self, runner: int) -> None:
        """Leave no room to the process that is the runner."""

    def make_room(self, runner: int) -> None:
        """Have room again."""


class SmallDisk:
    """A file system of the test's own, in memory, that another's file fills."""

    what = "full disk"
    lasts = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, runner: int) -> None:
        with (
            contextlib.suppress(OSError),
            (self.folder / "another's file").open("wb", buffering=0) as file,
        ):
            while file.write(bytes(4096)):
                pass

    def make_room(self, runner: int) -> None:
        (self.folder / "another's file").unlink()


class LimitedFiles:
    """The test's folder, in which the runner may write no file any more."""

    what = "writes refused"
    lasts = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, runner: int) -> None:
        resource.prlimit(runner, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def make_room(self, runner: int) -> None:
        most = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(runner, resource.RLIMIT_FSIZE, most)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mounted for the test; skips it where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no small disk: {error}")
    if mounted.returncode != 0:
        pytest.skip(f"no small disk, which takes root: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limited_files(folder: Path) -> Iterator[Disk]:
    """Works for everybody on Linux."""
    folder.mkdir()
    yield LimitedFiles(folder)


@pytest.mark.parametrize("make_disk", [small_disk, limited_files])
async def test_a_full_disk_is_told_and_loses_nothing(
    make_disk: Callable[[Path], contextlib.AbstractContextManager[Disk]],
    tmp_path: Path,
    figure: Figure,
) -> None:
    """503 and the reason in /status while there is no room; all goes on when there is.

    Temporal is away meanwhile, so that what is in the inbox has to stay there. Where a disk is full
    for the next runner too, the runner is killed and the next one waits for room.
    """
    began = time.monotonic()
    with make_disk(tmp_path / "disk") as disk, System(tmp_path, direct=True) as system:
        system.dead_letters = disk.folder / "dead-letters.db"
        inbox = f'{{path: "{disk.folder}/inbox.db"}}'
        system.configure(
            webhook("kept", system.port, inbox=inbox),
            webhook("refused", system.port, route=REFUSED),
        )
        pid = system.start_runner().pid
        system.wait_ready()
        with (
            Sender(f"{system.url}/kept", rate=20, name="kept") as kept,
            Sender(f"{system.url}/refused", rate=20, name="refused") as refused,
        ):
            await until(lambda: len(kept.acknowledged) >= 10 and len(refused.answered([422])) >= 10)
            system.kill_server()
            await until(lambda: not system.ready())
            before = len(kept.acknowledged)
            await until(lambda: len(kept.acknowledged) >= before + 10)
            await asyncio.to_thread(disk.fill, pid)
            await until(lambda: kept.answered([503]) and refused.answered([503]))
            error = await until(lambda: str(system.status("kept")["error"]))
            assert "the inbox" in error
            assert "full" in error or "I/O" in error
            if disk.lasts:
                system.kill_runner()
                again = system.start_runner()
                await asyncio.to_thread(again.wait_for, "disk is full")
            await asyncio.to_thread(system.start_server)
            disk.make_room(pid)
            before, letters = len(kept.acknowledged), len(refused.answered([422]))
            await until(lambda: len(kept.acknowledged) >= before + 10)
            await until(lambda: len(refused.answered([422])) >= letters + 10)
            await asyncio.to_thread(kept.finish)
            await asyncio.to_thread(refused.finish)
        await until(lambda: system.status("kept")["inbox"]["events"] == 0)
        assert system.status("kept")["error"] == ""
        seconds, faults = time.monotonic() - began, {disk.what: 1, "Temporal killed": 1}
        ledgers = [
            await ledger_of(
                system,
                kept,
                what=f"{disk.what}, inbox",
                listener="kept",
                seconds=seconds,
                faults=faults,
            ),
            Ledger(
                f"{disk.what}, dead letters",
                seconds,
                refused.sent,
                refused.answered([422]),
                {},
                dead_letters=await dead_letters_in(system.dead_letters, "refused"),
                faults=faults,
            ),
        ]
        assert system.runner is not None
        assert system.runner.stop() == 0, system.runner.output
    for ledger in ledgers:
        ledger.enter(figure)
        ledger.balance()
    assert {202, 503} <= set(kept.statuses) <= {0, 200, 202, 503}
    assert {422, 503} <= set(refused.statuses) <= {0, 422, 503}


async def until(condition: Callable[[], T]) -> T:
    return await asyncio.to_thread(wait_until, condition)
