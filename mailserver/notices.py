# SPDX-License-Identifier: MIT
"""'Topic T has changed', told to every process of the installation after the commit.

A notice is a hint: whoever needs the truth looks in the database, and polls slowly in case a notice is lost.
Embedded, each listening process has a datagram socket in the data folder and a publisher writes to all of them;
on PostgreSQL it is NOTIFY. Daemons listen through `protocols.net.notices`, which is this file's listener in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

SETTINGS = "settings"
WORK = "work"
QUEUE = "queue"
CONNECT = "connect"
"""Something about Connections, Collectors or the schedule: settings, a mark, a wish to stop, a test that waits."""
EVERYTHING = "*"
"""Notices may have been lost: whatever the listener cares for may have changed."""

VERSION_MARK = "="
"""Between a topic and the version that it has now."""
CHANNEL = "pillarbox"
MAX_NOTICE_BYTES = 7900
"""NOTIFY takes less than 8000 bytes; datagrams are cut the same."""
MAX_PATH_BYTES = 100
"""A socket's address holds 108 bytes on Linux, 104 elsewhere."""
RECONNECT_SECONDS = 1.0


def mailbox_topic(mailbox: int) -> str:
    """Entries of this mailbox were added, changed or removed."""
    return f"mailbox:{mailbox}"


def mailbox_notice(mailbox: int, modseq: int) -> str:
    """The topic, and the mailbox's mod-sequence now: who knows as much need not look."""
    return f"{mailbox_topic(mailbox)}{VERSION_MARK}{modseq}"


def split_notice(notice: str) -> tuple[str, int | None]:
    """The topic, and the version that the notice tells of, if it tells one."""
    topic, mark, version = notice.partition(VERSION_MARK)
    return topic, int(version) if mark and version.isdigit() else None


def folders_topic(user: int) -> str:
    """A user's folders, subscriptions, annotations, or what others may do with them have changed.

    The user PUBLIC stands for the public folders.
    """
    return f"folders:{user}"


def process_topic(process: int) -> str:
    """A command waits for this process."""
    return f"process:{process}"


def publish(topics: Iterable[str]) -> None:
    """Tell everybody now. Call it after the commit (`transaction.on_commit`); never raises."""
    notices = list(_pack(topics))
    if not notices:
        return
    if connection.vendor == "postgresql":
        _publish_by_database(notices)
    else:
        _publish_by_sockets(notices)


class Listener(Protocol):
    """What one process hears. One thread calls `receive`; any other may `close`."""

    def receive(self, timeout_seconds: float) -> frozenset[str]:
        """What was published since the last call; waits for the first. Never raises.

        A topic may have a version with it: `split_notice`.
        """
        ...

    def close(self) -> None:
        """Stop listening; a `receive` that waits comes back with nothing, and the next one gives everything back."""
        ...


def listen() -> Listener:
    """Start listening in the way this installation publishes."""
    return _DatabaseListener() if connection.vendor == "postgresql" else _SocketListener(_folder())


def _pack(topics: Iterable[str]) -> Iterator[str]:
    """Topics joined by spaces, each text short enough for one notice."""
    text = ""
    for topic in dict.fromkeys(topics):
        if len(text) + len(topic) >= MAX_NOTICE_BYTES:
            yield text
            text = ""
        text = f"{text} {topic}" if text else topic
    if text:
        yield text


class _Wake:
    """A pipe that ends a wait: closing its writing end makes the other one ready for good."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self._lock = threading.Lock()
        self.closed = False

    def close(self) -> None:
        with self._lock:
            if not self.closed:
                self.closed = True
                os.close(self._writer)

    def wait(self, timeout_seconds: float, *readers: int) -> bool:
        """Whether one of the readers has something; at once, and false, when closed."""
        if self.closed:
            return False
        poll = select.poll()
        for reader in (self.reader, *readers):
            poll.register(reader, select.POLLIN)
        ready = poll.poll(timeout_seconds * 1000)
        return not self.closed and any(reader != self.reader for reader, _ in ready)


# ---------------------------------------------------------------- embedded: datagram sockets


def _folder() -> Path:
    return Path(settings.DATA) / "run" / "notices"


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """The path as a socket address; one too long for an address is reached through its opened folder (Linux)."""
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


_sender: socket.socket | None = None
_sender_lock = threading.Lock()


def _sending_socket() -> socket.socket:
    """One for the process, made when it is first needed, by whichever thread that is."""
    global _sender
    with _sender_lock:
        if _sender is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            made.setblocking(False)
            _sender = made
        return _sender


def _publish_by_sockets(notices: list[str]) -> None:
    try:
        listeners = [entry for entry in os.listdir(_folder()) if entry.endswith(".sock")]
    except OSError:
        return
    try:
        sender = _sending_socket()
    except OSError:  # no descriptor is free: a notice is lost, as it may be
        return
    for name in listeners:
        _send(sender, _folder() / name, notices)


def _send(sender: socket.socket, path: Path, notices: list[str]) -> None:
    """To one listener; a socket that nobody holds any more is removed."""
    try:
        with _reachable(path) as address:
            try:
                for notice in notices:
                    sender.sendto(notice.encode(), address)
            except BlockingIOError:
                _overflow(sender, path, address)
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            path.unlink(missing_ok=True)


def _overflow(sender: socket.socket, path: Path, address: str) -> None:
    """The listener's queue is full (Linux takes ten datagrams): leave word that it missed something.

    It looks for that word after emptying its queue. Had it emptied it just before, the datagram gets through.
    """
    _missed(path).touch()
    with contextlib.suppress(BlockingIOError):
        sender.sendto(EVERYTHING.encode(), address)


def _missed(path: Path) -> Path:
    return path.with_suffix(".missed")


class _SocketListener:
    """A datagram socket in the data folder, named after the process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with _reachable(self._path) as address:
            self._socket.bind(address)
        self._wake = _Wake()

    def receive(self, timeout_seconds: float) -> frozenset[str]:
        if self._wake.closed:
            self._socket.close()
            return frozenset()
        if not self._wake.wait(timeout_seconds, self._socket.fileno()):
            return frozenset()
        topics: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                topics.update(self._socket.recv(MAX_NOTICE_BYTES + 100).decode(errors="replace").split())
        with contextlib.suppress(FileNotFoundError):
            _missed(self._path).unlink()
            topics.add(EVERYTHING)
        return frozenset(topics)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        _missed(self._path).unlink(missing_ok=True)
        self._wake.close()


# ---------------------------------------------------------------- grown: LISTEN and NOTIFY


def _publish_by_database(notices: list[str]) -> None:
    with contextlib.suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:
        for notice in notices:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, notice])


class _DatabaseListener:
    """A connection of its own that LISTENs; each time it had to be made anew, everything may have changed."""

    def __init__(self) -> None:
        self._wake = _Wake()
        self._connection: Any = None

    def receive(self, timeout_seconds: float) -> frozenset[str]:
        database: Any = connection.Database  # type: ignore[attr-defined]
        if self._wake.closed:
            self._disconnect()
            return frozenset()
        try:
            if self._connection is None:
                self._connection = self._connect(database)
                return frozenset({EVERYTHING})
            if not self._wake.wait(timeout_seconds, self._connection.fileno()):
                return frozenset()
            return frozenset(
                topic for notice in self._connection.notifies(timeout=0) for topic in notice.payload.split()
            )
        except (database.Error, OSError):
            self._disconnect()
            self._wake.wait(min(timeout_seconds, RECONNECT_SECONDS))
            return frozenset()

    def close(self) -> None:
        self._wake.close()

    def _connect(self, database: Any) -> Any:
        made = database.connect(**connection.get_connection_params(), autocommit=True)
        made.execute(f"LISTEN {CHANNEL}")
        return made

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
