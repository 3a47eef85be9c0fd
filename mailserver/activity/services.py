# SPDX-License-Identifier: MIT
"""Process rows: who is running, what each process says of itself, and asking one to do something.

Daemons and workers keep their row by `register_process`, `heartbeat` and `end_process`; the console and `status`
read `list_processes` and `list_sessions`, and use `ask`. A process whose heartbeat is too old is dead: nobody waits
for it, and its mailbox locks go with its row.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction

from mailserver import clock, notices
from mailserver.activity.models import STALE_AFTER_SECONDS, Process, ProcessCommand

ProcessKind = Process.Kind

END_SESSION = "end-session"
"""Argument: `SessionBrief.key`."""
RELOAD = "reload"
DRAIN = "drain"

FORGET_AFTER_SECONDS = 600
"""The row of a process that died stays this long, so that an administrator can see that it did."""


@dataclass(frozen=True, slots=True)
class SessionBrief:
    """A live session as its process describes it. `started` is ISO 8601 in UTC. New fields go to the end."""

    protocol: str
    id: int
    service: str
    client: str
    started: str
    login: str = ""
    doing: str = ""

    @property
    def key(self) -> str:
        """Names the session within its process, for END_SESSION."""
        return f"{self.protocol}:{self.id}"


@dataclass(frozen=True, slots=True)
class ListenerState:
    """One binding of a service in one process; `error` is in plain words, empty when it listens."""

    service: int
    binding: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process row, read."""

    id: int
    kind: str
    host: str
    pid: int
    started: datetime
    heartbeat: datetime
    state: str
    alive: bool
    report: Mapping[str, Any]
    sessions: tuple[SessionBrief, ...]

    @property
    def listeners(self) -> tuple[ListenerState, ...]:
        return tuple(ListenerState(*fields) for fields in self.report.get("listeners", ()))

    @property
    def problem(self) -> str:
        """What keeps this process from using the present settings, in plain words; mostly empty."""
        return str(self.report.get("problem", ""))


@dataclass(frozen=True, slots=True)
class Command:
    """Something a process was asked to do."""

    command: str
    argument: str


def register_process(kind: ProcessKind) -> int:
    """Make this process's row and give its number. Rows of processes that died on this machine go at once."""
    _forget_dead_here()
    return Process.objects.create(**_identity(kind)).pk


def heartbeat(
    process: int,
    kind: ProcessKind,
    *,
    state: str = "running",
    report: Mapping[str, Any] | None = None,
    sessions: Iterable[SessionBrief] = (),
) -> None:
    """Say that the process lives. A row that was taken for dead meanwhile (a laptop slept) comes back."""
    values = {
        "heartbeat": clock.now(),
        "state": state,
        "report": {"place": _place(), **(report or {})},
        "sessions": [list(astuple(session)) for session in sessions],
    }
    if not Process.objects.filter(pk=process).update(**values):
        Process.objects.create(**{**_identity(kind), **values, "id": process})


def end_process(process: int) -> None:
    """The process ends in order: its row goes, and with it its mailbox locks and commands."""
    Process.objects.filter(pk=process).delete()


def list_processes() -> list[RunningProcess]:
    """Every process that runs, or died lately."""
    fresh = fresh_since()
    return [_running(row, fresh) for row in Process.objects.all()]


def list_sessions() -> list[tuple[int, SessionBrief]]:
    """Live sessions of living processes, with the process that has them, oldest first."""
    rows = Process.objects.filter(heartbeat__gt=fresh_since())
    sessions = [(row.pk, SessionBrief(*fields)) for row in rows for fields in row.sessions]
    return sorted(sessions, key=lambda pair: pair[1].started)


def ask(process: int, command: str, argument: str = "") -> None:
    """Put a command into a process's inbox, emptied within a second or two; a process that is gone is passed over."""
    with transaction.atomic():
        if not Process.objects.filter(pk=process).exists():
            return
        ProcessCommand.objects.create(process_id=process, command=command, argument=argument, created=clock.now())
        transaction.on_commit(lambda: notices.publish([notices.process_topic(process)]))


def take_commands(process: int) -> list[Command]:
    """Empty the inbox."""
    if not ProcessCommand.objects.filter(process_id=process).exists():
        return []
    with transaction.atomic():
        rows = list(ProcessCommand.objects.select_for_update().filter(process_id=process))
        ProcessCommand.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return [Command(row.command, row.argument) for row in rows]


def forget_dead(now: datetime) -> int:
    """Remove the rows of processes that have been dead for a while; gives how many."""
    dead = Process.objects.filter(heartbeat__lt=now - timedelta(seconds=FORGET_AFTER_SECONDS))
    return dead.delete()[1].get(Process._meta.label, 0)


def _running(row: Process, fresh: datetime) -> RunningProcess:
    return RunningProcess(
        id=row.pk,
        kind=row.kind,
        host=row.host,
        pid=row.pid,
        started=row.started,
        heartbeat=row.heartbeat,
        state=row.state,
        alive=row.heartbeat > fresh,
        report=row.report,
        sessions=tuple(SessionBrief(*fields) for fields in row.sessions),
    )


def fresh_since() -> datetime:
    return clock.now() - timedelta(seconds=STALE_AFTER_SECONDS)


def _identity(kind: ProcessKind) -> dict[str, Any]:
    now = clock.now()
    return {
        "kind": kind,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": now,
        "heartbeat": now,
        "report": {"place": _place()},
    }


@cache
def _place() -> str:
    """Where a process number means something: this boot of this machine, and the container (Linux; else the host)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _forget_dead_here() -> None:
    """After a crash nobody shall wait half a minute for a lock whose holder is plainly gone."""
    here = [row for row in Process.objects.only("pk", "pid", "report") if row.report.get("place") == _place()]
    gone = [row.pk for row in here if not _exists(row.pid)]
    if gone:
        Process.objects.filter(pk__in=gone).delete()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
