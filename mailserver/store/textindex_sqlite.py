# SPDX-License-Identifier: MIT
"""The text index on SQLite: a file of its own beside the database, so that filling it never holds up mail.

FTS5 with its trigram tokenizer, which keeps for each piece a list of messages and nothing else.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailserver.store.chunks import in_chunks
from mailserver.store.known_ids import KnownIds
from mailserver.store.textindex import READ_AT_ONCE, Candidates, IndexedText, joined, pack, pieces, unpack
from mailserver.values import ContentId

logger = logging.getLogger(__name__)

BUSY_SECONDS = 10.0
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
        ids = sorted(asked)
        unknown = self._find_unknown(database, ids)
        wanted = pieces(needle)
        if not wanted:
            return Candidates(asked - unknown, unknown)
        match = " AND ".join('"' + piece.replace('"', '""') + '"' for piece in wanted)
        statement = "SELECT rowid FROM pieces WHERE pieces MATCH ? AND rowid BETWEEN ? AND ?"
        possible = _first_column(database.execute(statement, (match, ids[0], ids[-1])))
        return Candidates((asked & possible) - unknown, unknown)

    def _find_unknown(self, database: sqlite3.Connection, ids: Sequence[ContentId]) -> set[ContentId]:
        """What is known once stays so until the index is emptied: only for the others the file is asked again.

        Remembered for each connection: one that was opened before somebody put another file there has the old one.
        """
        (generation,) = database.execute("PRAGMA user_version").fetchone()
        if generation != self._local.generation:
            self._local.known, self._local.generation = KnownIds(), generation
        known: KnownIds = self._local.known
        missing = known.missing(ids)
        if missing:
            known.add(sorted(_read_known(database, missing)))
            missing = known.missing(missing)
        return set(map(ContentId, missing))

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
            self._local.known, self._local.generation = KnownIds(), -1
            with self._mutex:
                self._opened.append(database)
        return database

    def _empty_if_ahead(self, database: sqlite3.Connection) -> None:
        """An older copy of the database was put back: ids that the index knows will be given to other messages."""
        if database.execute("SELECT count(*) FROM known WHERE content > ?", (self._last_id(),)).fetchone()[0]:
            with _transaction(database):
                (generation,) = database.execute("PRAGMA user_version").fetchone()
                database.execute(f"PRAGMA user_version = {generation + 1}")
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


def _read_known(database: sqlite3.Connection, ids: Sequence[int]) -> set[ContentId]:
    """Those of the rising ids that the index has, and perhaps others between them."""
    if len(ids) > READ_AT_ONCE:
        statement, asked = "SELECT content FROM known WHERE content BETWEEN ? AND ?", [ids[0], ids[-1]]
    else:
        marks = ",".join("?" * len(ids))
        statement, asked = f"SELECT content FROM known WHERE content IN ({marks})", list(ids)  # noqa: S608
    return _first_column(database.execute(statement, asked))


def _first_column(rows: Iterable[tuple[int]]) -> set[ContentId]:
    return {ContentId(value) for (value,) in rows}
