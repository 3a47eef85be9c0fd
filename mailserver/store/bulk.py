# SPDX-License-Identifier: MIT
"""Rows written many at a time, without an instance of the model for each.

The group commit writes five rows for every message, and the interpreter that does so also serves every session. Making
instances and preparing them for `bulk_create` took two thirds of a batch's time (measured with twenty mailboxes and
batches of twenty: 400 microseconds a message, 145 this way). Tables, columns, defaults and the form of values still
come from the models; nothing here knows what the rows mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    BinaryField,
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    ForeignKey,
    IntegerField,
    Model,
    TextField,
)

PARAMETERS = 999
"""What SQLite, as built by some, takes in one statement."""
SQLITE_VERSION = sqlite3.sqlite_version_info
SQLITE_UPDATES_FROM = (3, 33, 0)
"""The first version that knows UPDATE ... FROM."""
PLAIN = (CharField, TextField, IntegerField, BooleanField, BinaryField, ForeignKey)
"""Drivers take their values as they are; times and JSON are prepared as the database wants them."""

Row = tuple[Any, ...]
Adapt = Callable[[datetime | None], Any]


class Table:
    """The columns of a model that are written together; an insert gives the others their fields' defaults."""

    def __init__(self, model: type[Model], *columns: str) -> None:
        named: list[Field[Any, Any]] = [model._meta.get_field(name) for name in columns]  # type: ignore[misc]
        others = [field for field in model._meta.concrete_fields if not field.primary_key and field not in named]
        fields = named + others
        self._table = model._meta.db_table
        self._columns = tuple(str(field.column) for field in fields)
        self._named = self._columns[: len(named)]
        self._defaults = [field.get_default() for field in others]
        self._times = [place for place, field in enumerate(fields) if isinstance(field, DateTimeField)]
        self._named_times = [place for place in self._times if place < len(named)]
        self._others = [
            (place, field) for place, field in enumerate(fields) if not isinstance(field, (*PLAIN, DateTimeField))
        ]

    def insert(self, rows: Iterable[Row]) -> None:
        """Add these rows; fails as the ORM does."""
        self._insert(rows, "")

    def insert_for_ids(self, rows: Iterable[Row]) -> list[int]:
        """Add these rows and give their new primary keys, in the same order."""
        return self._insert(rows, " RETURNING id")

    def upsert(self, rows: Iterable[Row], unique: tuple[str, ...], changed: tuple[str, ...]) -> None:
        """Add these rows; one that is there already, by its unique columns, gets the values of these columns instead.

        No two of the rows may be the same by their unique columns.
        """
        self._insert(rows, _on_conflict(unique, changed))

    def update(self, rows: Iterable[Row]) -> None:
        """Set the named columns but the first, of plain values and times, where the first has this value.

        On SQLite in one statement: after each the interpreter is somebody else's, and this thread waits for its turn.
        """
        adapt = _adapt_times(connection)
        everything = [self._with_times(row, adapt) for row in rows]
        if not everything:
            return
        with connection.cursor() as cursor:
            if connection.vendor != "sqlite" or SQLITE_VERSION < SQLITE_UPDATES_FROM:
                statement = _update_statement(self._table, self._named)
                cursor.executemany(statement, [(*row[1:], row[0]) for row in everything])
                return
            size = PARAMETERS // len(self._named)
            for start in range(0, len(everything), size):
                chunk = everything[start : start + size]
                statement = _update_all_statement(self._table, self._named, len(chunk))
                cursor.execute(statement, list(chain.from_iterable(chunk)))

    def _insert(self, rows: Iterable[Row], ending: str) -> list[int]:
        database = connections[DEFAULT_DB_ALIAS]
        adapt = _adapt_times(database)
        prepared = [self._prepare(row, database, adapt) for row in rows]
        size = PARAMETERS // len(self._columns)
        ids: list[int] = []
        for start in range(0, len(prepared), size):
            chunk = prepared[start : start + size]
            statement = _insert_statement(self._table, self._columns, len(chunk)) + ending
            with database.cursor() as cursor:
                cursor.execute(statement, list(chain.from_iterable(chunk)))
                if ending.startswith(" RETURNING"):
                    ids += [key for (key,) in cursor.fetchall()]
        return ids

    def _with_times(self, row: Row, adapt: Adapt) -> Sequence[Any]:
        values = list(row)
        for place in self._named_times:
            values[place] = adapt(values[place])
        return values

    def _prepare(self, row: Row, database: BaseDatabaseWrapper, adapt: Adapt) -> list[Any]:
        values = [*row, *self._defaults]
        for place in self._times:
            values[place] = adapt(values[place])
        for place, field in self._others:
            values[place] = field.get_db_prep_save(values[place], database)
        return values


def _adapt_times(database: BaseDatabaseWrapper) -> Adapt:
    """Times as the database wants them. Most rows of a batch have the same ones, and SQLite wants text."""
    adapted: dict[datetime | None, Any] = {None: None}

    def adapt(moment: datetime | None) -> Any:
        if moment not in adapted:
            adapted[moment] = database.ops.adapt_datetimefield_value(moment)
        return adapted[moment]

    return adapt


@lru_cache(maxsize=256)
def _insert_statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join(['%s'] * len(columns))})"
    names = ", ".join(map(connection.ops.quote_name, columns))
    return f"INSERT INTO {connection.ops.quote_name(table)} ({names}) VALUES {', '.join([row] * rows)}"  # noqa: S608


@lru_cache(maxsize=16)
def _on_conflict(unique: tuple[str, ...], changed: tuple[str, ...]) -> str:
    """SQLite and PostgreSQL say it alike."""
    quote = connection.ops.quote_name
    values = ", ".join(f"{quote(column)} = EXCLUDED.{quote(column)}" for column in changed)
    return f" ON CONFLICT ({', '.join(map(quote, unique))}) DO UPDATE SET {values}"


@lru_cache(maxsize=16)
def _update_statement(table: str, columns: tuple[str, ...]) -> str:
    key, *others = map(connection.ops.quote_name, columns)
    values = ", ".join(f"{column} = %s" for column in others)
    return f"UPDATE {connection.ops.quote_name(table)} SET {values} WHERE {key} = %s"  # noqa: S608


@lru_cache(maxsize=256)
def _update_all_statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    key, *others = map(connection.ops.quote_name, columns)
    row = f"({', '.join(['%s'] * len(columns))})"
    sets = ", ".join(f"{column} = given.column{place}" for place, column in enumerate(others, 2))
    values = f"(VALUES {', '.join([row] * rows)}) AS given"
    return f"UPDATE {connection.ops.quote_name(table)} SET {sets} FROM {values} WHERE {key} = given.column1"  # noqa: S608
