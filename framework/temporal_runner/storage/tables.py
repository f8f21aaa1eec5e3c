"""What is in a database: made where it is missing, brought up to date where it is older."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from temporal_runner.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Tables:
    """What is in a database.

    Attributes:
        statements: SQL that makes the tables where they are missing, one statement each.
        version: Of the tables. A file of a higher one is refused.
        take_back: SQL that copies what is in the schema `saved` and not in `main`.
        migrate: Brings the tables of a lower version up to this one, within a transaction.
    """

    statements: Sequence[str]
    version: int
    take_back: Sequence[str]
    migrate: Callable[[sqlite3.Connection], None] | None = None

    def make(self, connection: sqlite3.Connection, label: str) -> None:
        """Make the tables where they are missing, and migrate older ones, in one transaction.

        Args:
            connection: To the file.
            label: What the database is and where, for errors.

        Raises:
            PermanentError: They are of a newer version.
        """
        connection.execute("BEGIN IMMEDIATE")
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > self.version:
            raise PermanentError(
                f"{label} was written by a newer temporal-runner (tables {found})",
                next_step="start that version, or give another path",
            )
        if 0 < found < self.version and self.migrate is not None:
            self.migrate(connection)
        for statement in self.statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {self.version}")
        connection.execute("COMMIT")
