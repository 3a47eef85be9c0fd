# SPDX-License-Identifier: MIT
"""Waiting for SQLite's write lock while another process has it: for a while, and never within a transaction."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from mailserver.project.environment import database_config, read_environment
from mailserver.project.sqlite import base

pytestmark = pytest.mark.django_db

Write = Callable[[BaseDatabaseWrapper], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pillarbox.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE note (text)")
    return path


@pytest.fixture
def neighbour(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process, which is writing."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield database


def connect(file: Path, **options: Any) -> BaseDatabaseWrapper:
    """As the product does, in this thread."""
    config = database_config(read_environment({"PILLARBOX_DATA": str(file.parent)}))
    config["OPTIONS"] |= options
    database: BaseDatabaseWrapper = ConnectionHandler({"default": config})["default"]
    database.inc_thread_sharing()
    return database


def write(database: BaseDatabaseWrapper) -> None:
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO note VALUES (%s)", ["x"])


def write_many(database: BaseDatabaseWrapper) -> None:
    with database.cursor() as cursor:
        cursor.executemany("INSERT INTO note VALUES (%s)", (text for text in [["x"]]))


def write_together(database: BaseDatabaseWrapper) -> None:
    database.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    write(database)
    database.commit()
    database.set_autocommit(True)


@pytest.mark.parametrize("how", [write, write_many, write_together])
def test_whoever_waits_for_the_lock_gets_it(file: Path, neighbour: sqlite3.Connection, how: Write) -> None:
    database = connect(file)
    database.ensure_connection()
    waiting = threading.Thread(target=how, args=(database,))
    waiting.start()
    neighbour.execute("INSERT INTO note VALUES ('first')")
    neighbour.execute("COMMIT")
    waiting.join(30)
    assert [text for (text,) in neighbour.execute("SELECT text FROM note ORDER BY rowid")] == ["first", "x"]
    database.close()


@pytest.mark.parametrize("how", [write, write_many, write_together])
def test_patience_has_an_end(file: Path, neighbour: sqlite3.Connection, how: Write) -> None:
    with closing(connect(file, timeout=0.01)) as database, pytest.raises(OperationalError, match="locked"):
        how(database)


def test_many_rows_are_written_once_also_when_another_process_comes_between(
    file: Path, neighbour: sqlite3.Connection
) -> None:
    neighbour.execute("ROLLBACK")

    class Second:
        """Bound for the first time it lets the neighbour write, for the second time it has it end."""

        def __conform__(self, _: object) -> str:
            neighbour.execute("COMMIT" if neighbour.in_transaction else "BEGIN IMMEDIATE")
            return "second"

    with closing(connect(file, timeout=1)) as database, database.cursor() as cursor:
        cursor.executemany("INSERT INTO note VALUES (%s)", [["first"], [Second()]])
        assert cursor.execute("SELECT text FROM note").fetchall() == [("first",), ("second",)]


def test_nobody_waits_for_what_an_unfinished_query_cannot_see(
    file: Path, neighbour: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbour.executemany("INSERT INTO note VALUES (?)", [["x"]] * 1000)
    neighbour.execute("COMMIT")
    monkeypatch.setattr(base.time, "sleep", lambda _: pytest.fail("it waits"))
    with closing(connect(file)) as database, database.cursor() as cursor:
        cursor.execute("SELECT text FROM note")
        neighbour.execute("INSERT INTO note VALUES ('y')")
        with pytest.raises(OperationalError, match="locked"):
            write(database)


def test_readers_wait_for_nobody(file: Path, neighbour: sqlite3.Connection) -> None:
    with closing(connect(file, timeout=0)) as database, database.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM note").fetchone() == (0,)


def test_within_a_transaction_nothing_is_tried_again(file: Path, neighbour: sqlite3.Connection) -> None:
    """Its picture is older than what was written meanwhile: waiting would not help it."""
    with closing(connect(file, transaction_mode="DEFERRED")) as database:
        database.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        with database.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM note")
        with pytest.raises(OperationalError, match="locked"):
            write(database)
        database.rollback()


def test_other_errors_are_not_waited_on(file: Path) -> None:
    with (
        closing(connect(file)) as database,
        database.cursor() as cursor,
        pytest.raises(OperationalError, match="no such table"),
    ):
        cursor.execute("INSERT INTO nowhere VALUES (1)")
