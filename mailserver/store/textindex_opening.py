# SPDX-License-Identifier: MIT
"""Which text index this installation has: the one of its database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import connection

from mailserver.store.textindex import TextIndex
from mailserver.store.textindex_sqlite import SqliteTextIndex
from mailserver.values import ContentId


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
