"""The search index: an SQLite file with the documents' texts, and their passages for FTS5.

Indexing a document again replaces what the index has of it. The workers of the document queue have
to share one file: the steps of a workflow hand a text on by it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from document_processing.documents import Passage

_TRIES = 100
DEFAULT_FILE = ".runner/documents.db"
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS documents (
        document TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, language TEXT
    );
    CREATE VIRTUAL TABLE IF NOT EXISTS passages USING fts5 (
        text, document UNINDEXED, number UNINDEXED,
        tokenize = 'porter unicode61 remove_diacritics 2'
    );
"""


class Index:
    """The index in a file, which is made where it is missing."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    def of_environment(cls) -> Index:
        """The index at DOCUMENTS_INDEX."""
        return cls(Path(os.environ.get("DOCUMENTS_INDEX") or DEFAULT_FILE))

    def keep_text(self, document: str, name: str, text: str) -> None:
        """Keep a document's text; its passages stay as they are until `replace`."""
        with self._writing() as database:
            database.execute(
                "INSERT INTO documents (document, name, text) VALUES (?, ?, ?)"
                " ON CONFLICT (document) DO UPDATE SET name = excluded.name, text = excluded.text",
                (document, name, text),
            )

    def text_of(self, document: str) -> str:
        """A document's text.

        Raises:
            LookupError: The index does not have it.
        """
        with self._open() as database:
            row = database.execute(
                "SELECT text FROM documents WHERE document = ?", (document,)
            ).fetchone()
        if row is None:
            raise LookupError(f"{self._file} has no text of {document}: is it all workers' file?")
        return str(row[0])

    def set_language(self, document: str, language: str) -> None:
        """Say in which language a document is."""
        with self._writing() as database:
            database.execute(
                "UPDATE documents SET language = ? WHERE document = ?", (language, document)
            )

    def replace(self, document: str, passages: Sequence[str]) -> None:
        """Make these the document's passages, instead of those that it had."""
        with self._writing() as database:
            database.execute("DELETE FROM passages WHERE document = ?", (document,))
            database.executemany(
                "INSERT INTO passages (text, document, number) VALUES (?, ?, ?)",
                [(text, document, number) for number, text in enumerate(passages)],
            )

    def languages(self) -> list[str]:
        """The documents' languages."""
        with self._open() as database:
            rows = database.execute(
                "SELECT DISTINCT language FROM documents WHERE language IS NOT NULL"
            )
            return [str(language) for (language,) in rows]

    def search(self, words: Sequence[str], limit: int) -> list[Passage]:
        """The passages that fit these words best."""
        if not words:
            return []
        wanted = " OR ".join(f'"{word}"' for word in words)
        with self._open() as database:
            rows = database.execute(
                "SELECT passages.document, name, number, passages.text"
                " FROM passages JOIN documents USING (document)"
                " WHERE passages MATCH ? ORDER BY passages.rank LIMIT ?",
                (wanted, limit),
            )
            return [
                Passage(document=document, name=name, number=number, text=text)
                for document, name, number, text in rows
            ]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=20, isolation_level=None)) as database:
            _use_write_ahead_log(database)
            database.execute("PRAGMA synchronous = NORMAL")
            database.executescript(_SCHEMA)
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")


def _use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Turn a new file to it: one connection can, and `timeout` does not hold for the others."""
    for attempt in range(_TRIES):
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or attempt == _TRIES - 1:
                raise
        time.sleep(0.05)


def words_of(question: str) -> list[str]:
    """The words of a question, in small letters, each once."""
    return list(dict.fromkeys(re.findall(r"\w+", question.lower())))
