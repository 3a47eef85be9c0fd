# SPDX-License-Identifier: MIT
"""The index of message text: which messages have all the three-letter pieces of what is searched, and their text.

It only ever narrows down; `textsearch.py` looks at the text itself. What is in it can be made again from the messages
at any time. On SQLite it is a file of its own beside the database, so that filling it never holds up mail: FTS5 with
its trigram tokenizer, which keeps for each piece a list of messages and nothing else. On PostgreSQL it is a table with
an array of the pieces' numbers under a GIN index, which needs no extension.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import connection

from mailserver.store.batch import in_chunks
from mailserver.values import ContentId

logger = logging.getLogger(__name__)

GRAM = 3
"""Characters in a piece: what FTS5's trigram tokenizer takes."""
MAX_PIECES = 12
"""Of one needle. They narrow down quickly; each costs the reading of one list."""
READ_AT_ONCE = 500
BUSY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class IndexedText:
    """Both texts casemapped."""

    header: str
    body: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """Of the contents asked for: those which may contain the needle, and those of which the index knows nothing."""

    possible: set[ContentId]
    unknown: set[ContentId]


class TextIndex(Protocol):
    """May be called from any thread, in several processes at once."""

    def find(self, contents: Sequence[ContentId], needle: str) -> Candidates:
        """A needle shorter than a piece is possibly in everything."""
        ...

    def read(self, contents: Sequence[ContentId]) -> Iterator[tuple[ContentId, IndexedText]]: ...

    def add(self, texts: Mapping[ContentId, IndexedText]) -> None:
        """Those that are known already stay as they are. Never fails: what is not added is read again next time."""
        ...

    def forget(self, contents: Sequence[ContentId]) -> None:
        """Contents that have been deleted. Never fails."""
        ...

    def close(self) -> None: ...


def forget_texts(contents: Sequence[ContentId]) -> None:
    """Contents that have been deleted leave the index of this installation."""
    index = open_text_index()
    index.forget(contents)
    index.close()


def open_text_index() -> TextIndex:
    """The index of this installation."""
    if connection.vendor == "postgresql":
        from mailserver.store.textindex_postgres import PostgresTextIndex  # its statements mean nothing elsewhere

        return PostgresTextIndex()
    return SqliteTextIndex(Path(settings.DATA) / "search.sqlite3", _last_id)


def _last_id() -> int:
    """The highest id that SQLite has ever given to a content."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'store_content'")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def pieces(needle: str) -> list[str]:
    """Three-letter pieces that a text with the needle in it has: side by side, and the last one."""
    if len(needle) < GRAM:
        return []
    starts = [*range(0, len(needle) - GRAM, GRAM), len(needle) - GRAM]
    return list(dict.fromkeys(needle[start : start + GRAM] for start in starts))[:MAX_PIECES]


def pack(text: IndexedText) -> bytes:
    """As a row keeps it."""
    return zlib.compress(f"{text.header}\0{text.body}".encode("utf-8", "surrogatepass"), 1)


def unpack(packed: bytes, header_size: int) -> IndexedText:
    text = zlib.decompress(packed).decode("utf-8", "surrogatepass")
    return IndexedText(text[:header_size], text[header_size + 1 :])


def joined(text: IndexedText) -> str:
    """What is cut into pieces."""
    return f"{text.header}\n{text.body}"


def clean_text(text: str) -> str:
    """Without what would end the text for the tokenizer, or cannot be written as UTF-8."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


class NoTextIndex:
    """For a database without one: every message is read each time."""

    def find(self, contents: Sequence[ContentId], needle: str) -> Candidates:
        return Candidates(set(), set(contents))

    def read(self, contents: Sequence[ContentId]) -> Iterator[tuple[ContentId, IndexedText]]:
        return iter(())

    def add(self, texts: Mapping[ContentId, IndexedText]) -> None:
        """Nothing is kept."""

    def forget(self, contents: Sequence[ContentId]) -> None:
        """Nothing was kept."""

    def close(self) -> None:
        """Nothing is open."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (content INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS texts (
    content INTEGER PRIMARY KEY, header_size INTEGER NOT NULL, packed BLOB NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS pieces USING fts5(
    text, content='', detail='none', columnsize=0, tokenize='trigram case_sensitive 1'
);
"""


class SqliteTextIndex:
    """In the file at `path`; each thread has a connection of its own. Made when it is first needed.

    `last_id` tells the highest id that a content has ever had.
    """

    def __init__(self, path: Path, last_id: Callable[[], int]) -> None:
        self._path = path
        self._last_id = last_id
        self._local = threading.local()
        self._mutex = threading.Lock()
        self._opened: list[sqlite3.Connection] = []

    def find(self, contents: Sequence[ContentId], needle: str) -> Candidates:
        asked = set(contents)
        try:
            return self._find(asked, needle) if asked else Candidates(set(), set())
        except sqlite3.Error as error:
            _warn(error)
            return Candidates(set(), asked)

    def _find(self, asked: set[ContentId], needle: str) -> Candidates:
        database = self._connect()
        bounds = (min(asked), max(asked))
        known = _first_column(database.execute("SELECT content FROM known WHERE content BETWEEN ? AND ?", bounds))
        wanted = pieces(needle)
        if not wanted:
            return Candidates(asked & known, asked - known)
        match = " AND ".join('"' + piece.replace('"', '""') + '"' for piece in wanted)
        statement = "SELECT rowid FROM pieces WHERE pieces MATCH ? AND rowid BETWEEN ? AND ?"
        possible = _first_column(database.execute(statement, (match, *bounds)))
        return Candidates(asked & known & possible, asked - known)

    def read(self, contents: Sequence[ContentId]) -> Iterator[tuple[ContentId, IndexedText]]:
        for chunk in in_chunks(contents, READ_AT_ONCE):
            marks = ",".join("?" * len(chunk))
            statement = f"SELECT content, packed, header_size FROM texts WHERE content IN ({marks})"  # noqa: S608
            try:
                rows = self._connect().execute(statement, list(chunk)).fetchall()
            except sqlite3.Error as error:
                _warn(error)
                return
            for content, packed, header_size in rows:
                yield ContentId(content), unpack(packed, header_size)

    def add(self, texts: Mapping[ContentId, IndexedText]) -> None:
        try:
            with _transaction(self._connect()) as database:
                for content, text in texts.items():
                    if database.execute("INSERT OR IGNORE INTO known VALUES (?)", (content,)).rowcount:
                        row = (content, len(text.header), pack(text))
                        database.execute("INSERT INTO texts VALUES (?, ?, ?)", row)
                        database.execute("INSERT INTO pieces (rowid, text) VALUES (?, ?)", (content, joined(text)))
        except sqlite3.Error as error:
            _warn(error)

    def forget(self, contents: Sequence[ContentId]) -> None:
        if not self._path.exists():
            return
        texts = list(self.read(contents))
        try:
            with _transaction(self._connect()) as database:
                for content, text in texts:
                    gone = (content, joined(text))
                    database.execute("INSERT INTO pieces (pieces, rowid, text) VALUES ('delete', ?, ?)", gone)
                    database.execute("DELETE FROM texts WHERE content = ?", (content,))
                    database.execute("DELETE FROM known WHERE content = ?", (content,))
        except sqlite3.Error as error:
            _warn(error)

    def close(self) -> None:
        with self._mutex:
            for database in self._opened:
                database.close()
            self._opened.clear()
            self._local = threading.local()

    def _connect(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_SCHEMA}")
            self._empty_if_ahead(database)
            self._local.database = database
            with self._mutex:
                self._opened.append(database)
        return database

    def _empty_if_ahead(self, database: sqlite3.Connection) -> None:
        """An older copy of the database was put back: ids that the index knows will be given to other messages."""
        if database.execute("SELECT count(*) FROM known WHERE content > ?", (self._last_id(),)).fetchone()[0]:
            with _transaction(database):
                database.execute("DELETE FROM known")
                database.execute("DELETE FROM texts")
                database.execute("INSERT INTO pieces (pieces) VALUES ('delete-all')")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _warn(error: sqlite3.Error) -> None:
    """A file that cannot be used is no reason to fail: messages are read instead."""
    logger.warning("the text index cannot be used: %s", error)


def _first_column(rows: Iterable[tuple[int]]) -> set[ContentId]:
    return {ContentId(value) for (value,) in rows}
