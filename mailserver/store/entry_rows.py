# SPDX-License-Identifier: MIT
"""Entries read from their rows, many at a time and by columns.

A mailbox of 100,000 messages is opened with one look at each row. SQLite joins the values of a column into one text
before they become objects of Python, which takes a third of the time; PostgreSQL gives rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from mailserver.store.batch import parse_flags
from mailserver.store.entries import Entry, EntryTable
from mailserver.store.models import Entry as EntryRow
from mailserver.values import MailboxId, ModSeq

_TABLE = EntryRow._meta.db_table
_NO_LIMIT = 2**62


def read_table(mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> EntryTable:
    """Visible entries with higher UIDs, so many at most."""
    rows = f"{_select()} AND uid > %s ORDER BY uid LIMIT %s"
    parameters = [mailbox, after_uid, _NO_LIMIT if limit is None else limit]
    return (_read_joined if connection.vendor == "sqlite" else _read_rows)(rows, parameters)


def read_changed(mailbox: MailboxId, since: ModSeq) -> list[Entry]:
    """Visible entries with a higher mod-sequence, in the order of UIDs."""
    return list(_read_rows(f"{_select()} AND modseq > %s ORDER BY uid", [mailbox, since]))


def _select() -> str:
    columns = f"uid, modseq, size, {_microseconds('internal_date')}, {_microseconds('saved')}, content_id, flags"
    return f"SELECT {columns} FROM {_TABLE} WHERE mailbox_id = %s AND NOT held"  # noqa: S608


def _microseconds(column: str) -> str:
    """A moment as an entry keeps it. SQLite has it as text in UTC, with six digits behind the point or none."""
    if connection.vendor == "sqlite":
        whole = f"CAST(strftime('%%s', substr({column}, 1, 19)) AS INTEGER) * 1000000"
        return f"{whole} + CAST(substr({column}, 21, 6) AS INTEGER) AS {column}"
    return f"CAST(EXTRACT(EPOCH FROM {column}) * 1000000 AS bigint) AS {column}"


def _read_rows(statement: str, parameters: Sequence[Any]) -> EntryTable:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall()
    return _table(list(zip(*rows, strict=True))) if rows else EntryTable()


def _read_joined(rows: str, parameters: Sequence[Any]) -> EntryTable:
    names = ("uid", "modseq", "size", "internal_date", "saved", "content_id")
    joined = ", ".join(f"group_concat({name})" for name in names)
    statement = f"SELECT {joined}, group_concat(flags, char(10)) FROM ({rows})"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        *numbers, flags = cursor.fetchone()
    if flags is None:
        return EntryTable()
    columns = [list(map(int, column.split(","))) for column in numbers]
    if columns[0] != sorted(columns[0]):  # SQLite has never done so, and does not promise that it never will.
        return _read_rows(rows, parameters)
    return _table([*columns, flags.split("\n")])


def _table(columns: Sequence[Iterable[Any]]) -> EntryTable:
    *numbers, flags = columns
    return EntryTable(numbers, map(parse_flags, flags))
