"""A database whose transactions, thread or file fail: everybody is told, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from temporal_runner.errors import TransientError
from temporal_runner.storage.database import Database
from temporal_runner.storage.tables import Tables
from tests.support import eventually

NOTES = Tables(
    ["CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)"],
    1,
    take_back=["INSERT OR IGNORE INTO main.notes (text) SELECT text FROM saved.notes ORDER BY id"],
)


def note(text: str) -> Callable[[sqlite3.Connection], None]:
    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))

    return write


def notes(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database("the notes", tmp_path / "folder" / "notes.db", NOTES, exclusive=True)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "notes.db"


# What fails within a transaction. -----------------------------------------------------------------


async def test_one_that_fails_does_not_fail_those_that_share_its_transaction(
    database: Database,
) -> None:
    """Whatever it raises: the others are on disk, and it is told what it raised itself."""

    def wrong(connection: sqlite3.Connection) -> None:
        note("half done")(connection)
        raise LookupError("one row cannot be read")

    written = [database.run(note(str(number))) for number in range(20)]
    outcomes = await asyncio.gather(
        *written[:10], database.run(wrong), *written[10:], return_exceptions=True
    )
    assert [repr(one) for one in outcomes if one is not None] == [
        "LookupError('one row cannot be read')"
    ]
    assert await database.run(notes) == [str(number) for number in range(20)]


@pytest.mark.parametrize("wrong", ["no such table", "a constraint"])
async def test_sqlites_refusals_are_answers(database: Database, wrong: str) -> None:
    """And the next goes through."""
    await database.run(note("once"))
    statement = "SELECT * FROM nothing" if wrong == "no such table" else None
    with pytest.raises(TransientError, match=r"the notes .*notes\.db: "):
        await database.run(
            note("once") if statement is None else lambda connection: connection.execute(statement)
        )
    await database.run(note("more"))
    assert await database.run(notes) == ["once", "more"]


async def test_a_rollback_that_fails_is_told_to_all_now_and_later(database: Database) -> None:
    """The thread cannot go on; nobody waits for it in vain, and opening it again mends it."""

    def no_rollback(action: int, first: str | None, *_: object) -> int:
        refuse = action == sqlite3.SQLITE_TRANSACTION and first == "ROLLBACK"
        return sqlite3.SQLITE_DENY if refuse else sqlite3.SQLITE_OK

    def wrong(connection: sqlite3.Connection) -> None:
        connection.set_authorizer(no_rollback)
        raise LookupError("now it has to be rolled back")

    await database.run(note("before"))
    waiting = [asyncio.ensure_future(database.run(wrong))]
    waiting += [asyncio.ensure_future(database.run(note(str(one)))) for one in range(1000)]
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, TransientError) for one in outcomes[1:])
        with pytest.raises(TransientError, match="the notes"):
            await database.wait_failed(10)
        with pytest.raises(TransientError, match="the notes"):
            await database.run(notes)
        await database.close()
        await database.open()
        assert await database.run(notes) == ["before"]


async def test_a_thread_that_dies_of_anything_is_told(database: Database) -> None:
    """Also of what is no Exception."""

    def deadly(connection: sqlite3.Connection) -> None:
        raise SystemExit(3)

    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(
            database.run(deadly), database.run(notes), return_exceptions=True
        )
        assert all(isinstance(one, TransientError) for one in outcomes)
        with pytest.raises(TransientError, match="SystemExit"):
            await database.wait_failed(10)
        with pytest.raises(TransientError, match="SystemExit"):
            await database.run(notes)


async def test_an_opening_that_nobody_waits_for_leaves_nothing_open(tmp_path: Path) -> None:
    """A signal ends the wait for a file that is in use; what opens afterwards is closed."""
    file = tmp_path / "notes.db"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    database = Database("the notes", file, NOTES, exclusive=True)
    opening = asyncio.create_task(database.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    holder.execute("COMMIT")
    holder.close()
    again = Database("the notes", file, NOTES, exclusive=True)

    async def opens() -> bool:
        try:
            await again.open()
        except TransientError:
            return False
        return True

    await eventually(opens, what="the file to be free")
    await again.close()


# A file that goes. --------------------------------------------------------------------------------


def remove(file: Path) -> None:
    for one in file.parent.glob("notes.db*"):
        one.unlink()


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def remove_log(file: Path) -> None:
    Path(f"{file}-wal").unlink()


def move(file: Path) -> None:
    file.rename(file.with_name("elsewhere.db"))


def replace(file: Path) -> None:
    """By another of the same kind, as who restores a backup does."""
    backup = file.with_name("backup.db")
    with sqlite3.connect(backup) as other:
        other.execute(NOTES.statements[0])
        other.execute("INSERT INTO notes (text) VALUES ('of the backup')")
        other.execute("PRAGMA user_version = 1")
    other.close()
    backup.rename(file)


@pytest.mark.parametrize("go", [remove, remove_folder, remove_log, move, replace])
async def test_what_is_written_to_a_file_that_is_gone_is_not_acknowledged(
    database: Database, file: Path, go: Callable[[Path], None]
) -> None:
    """All that was acknowledged is there when it is opened again, and nobody has to ask for it."""
    await asyncio.gather(*(database.run(note(str(number))) for number in range(10)))
    go(file)
    with pytest.raises(TransientError, match=r"(removed|replaced) while it was open"):
        await database.run(note("too late"))
    with pytest.raises(TransientError, match=r"(removed|replaced) while it was open"):
        await database.wait_failed(10)
    await database.close()
    assert all(one.stat().st_mode & 0o077 == 0 for one in file.parent.glob("notes.db.saved*"))
    await database.open()
    found = await database.run(notes)
    assert [str(number) for number in range(10)] == [one for one in found if one.isdigit()]
    assert ("of the backup" in found) == (go is replace)
    assert not list(file.parent.glob("notes.db.saved*"))


@pytest.mark.parametrize("go", [remove, replace])
async def test_a_file_that_goes_while_nothing_is_written_is_missed(
    database: Database, file: Path, go: Callable[[Path], None]
) -> None:
    """Within a second or so."""
    await database.run(note("kept"))
    go(file)
    with pytest.raises(TransientError, match="while it was open"):
        await database.wait_failed(10)
    await database.close()
    await database.open()
    assert "kept" in await database.run(notes)


async def test_a_file_that_goes_just_before_the_end_is_missed(
    database: Database, file: Path
) -> None:
    """What it held is there for the next start."""
    await database.run(note("kept"))
    remove(file)
    await database.close()
    await database.open()
    assert await database.run(notes) == ["kept"]


async def test_without_room_to_save_it_goes_on_trying(database: Database, file: Path) -> None:
    """Everybody is told meanwhile; nothing is given up."""
    await database.run(note("kept"))
    remove_folder(file)
    file.parent.write_text("a file where the folder was")
    with pytest.raises(TransientError, match="removed while it was open"):
        await database.run(notes)
    for _ in range(2):
        with pytest.raises(TransientError, match="cannot be saved"):
            await database.run(notes)
    file.parent.unlink()
    with pytest.raises(TransientError, match="removed"):
        await database.wait_failed(10)
    await database.close()
    await database.open()
    assert await database.run(notes) == ["kept"]


async def test_the_log_of_a_file_that_took_its_place_is_left_alone(
    database: Database, file: Path
) -> None:
    """Closing the old one must not delete what another process has written beside the new."""
    await database.run(note("kept"))
    remove(file)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute(NOTES.statements[0])
    other.execute("INSERT INTO notes (text) VALUES ('of another')")
    with pytest.raises(TransientError, match="replaced"):
        await database.wait_failed(10)
    await database.close()
    assert any(one.name.endswith("-wal") and one.stat().st_size for one in file.parent.iterdir())
    assert notes(other) == ["of another"]
    other.close()
    await database.open()
    assert sorted(await database.run(notes)) == ["kept", "of another"]


async def test_what_was_saved_and_cannot_be_read_stays_where_it_is(
    database: Database, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And does not keep the rest from starting."""
    await database.close()
    junk = file.with_name("notes.db.saved-1")
    junk.write_text("no database" * 1000)
    await database.open()
    await database.run(note("goes on"))
    assert junk.exists()
    assert f"what was saved in {junk} cannot be read" in caplog.text


# Whose it is to read. -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
async def test_a_file_that_is_open_to_others_is_closed_to_them(
    database: Database, file: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The database and what SQLite keeps beside it, as older versions or hands left them."""
    await database.run(note("a secret of a customer"))
    for end in ("", "-wal"):
        shutil.copy(f"{file}{end}", file.with_name(f"old.db{end}"))
        file.with_name(f"old.db{end}").chmod(mode)
    old = Database("the notes", file.with_name("old.db"), NOTES)
    await old.open()
    await old.run(note("more"))
    for one in file.parent.glob("old.db*"):
        assert one.stat().st_mode & 0o777 == 0o600, one
    assert f"old.db was open to other users (mode {mode:04o}); it is 0600 now" in caplog.text
    assert "old.db-wal was open" in caplog.text
    await old.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_file_of_another_user_that_is_open_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is theirs to close."""
    file = tmp_path / "notes.db"
    file.touch(mode=0o644)
    file.chmod(0o644)
    os.chown(file, 65534, 65534)
    database = Database("the notes", file, NOTES)
    await database.open()
    await database.close()
    expected = f"{file} is open to other users (mode 0644; it belongs to user 65534): chmod 600 it"
    assert expected in caplog.text


async def test_a_new_file_is_nobody_elses(database: Database, file: Path) -> None:
    """Whatever the umask."""
    await database.run(note("one"))
    for one in file.parent.iterdir():
        assert one.stat().st_mode & 0o077 == 0, one
