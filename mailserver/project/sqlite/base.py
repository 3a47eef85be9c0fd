# SPDX-License-Identifier: MIT
"""What Django loads as the backend (its `ENGINE` is the package, and this name is Django's).

SQLite itself asks for a lock at growing intervals, up to a tenth of a second: beside a process that writes all the
time, whoever has waited long asks seldom and waits longer. Here everybody asks about once in a millisecond
(docs/decisions/group-commit.md has the figures).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Self

from django.db.backends.sqlite3 import base

FIRST_PAUSE_SECONDS = 0.0002
LONGEST_PAUSE_SECONDS = 0.001
WAITED_FOR = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY))
"""Not SQLITE_BUSY_SNAPSHOT: others have written since an unfinished query of this connection began, and what it sees
stays old however long one waits."""


class Cursor(base.SQLiteCursorWrapper):
    """Waits for a lock as long as `patience_seconds`, then raises "database is locked" as SQLite would."""

    patience_seconds = 0.0

    def execute(self, query: str, params: Any = None) -> Self:
        return self._when_free(lambda: super(Cursor, self).execute(query, params))

    def executemany(self, query: str, params: Any) -> Self:
        """Outside a transaction each row is one by itself: those before it are written, and must not be again."""
        if self.connection.in_transaction:
            super().executemany(query, params)
        else:
            for row in params:
                self.execute(query, row)
        return self

    def _when_free(self, run: Callable[[], object]) -> Self:
        """Within a transaction nothing is tried again: it has its lock, or must be begun anew."""
        deadline, pause = 0.0, FIRST_PAUSE_SECONDS
        while True:
            try:
                run()
                return self
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in WAITED_FOR or self.connection.in_transaction:
                    raise
                deadline = deadline or time.monotonic() + self.patience_seconds
                if time.monotonic() >= deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


class DatabaseWrapper(base.DatabaseWrapper):
    """`OPTIONS["timeout"]` is the patience, in seconds, as with Django's own."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        """Opening waits where another process recovers the database or closes it; there SQLite waits well itself."""
        connection: sqlite3.Connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        cursor.patience_seconds = self.settings_dict["OPTIONS"]["timeout"]
        return cursor
