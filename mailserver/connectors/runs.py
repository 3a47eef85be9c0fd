# SPDX-License-Identifier: MIT
"""Runs of Connections: beginning the next one, how far it is, how it ended, and its history.

Whoever runs Connections holds the lease `RUN_LEASE`, one at a time on the whole installation (design section 6). What
a worker that died left unfinished is closed by the next one. A Sender that sends at once holds its own lease only, and
its run is a row with the cause `immediate`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from mailserver import clock
from mailserver.connectors.changes import changed
from mailserver.connectors.models import Connection, ConnectionRun, RunTask
from mailserver.connectors.values import Cause, Outcome
from mailserver.leases import services as leases

RUN_LEASE = "connection-run"
LEASE_SECONDS = 60
"""On another machine a dead worker's runs are taken over after so long; on its own at once."""

BESIDE = (Cause.IMMEDIATE, Cause.IDLE)
"""Causes of runs that hold no RUN_LEASE: of a Sender alone, or of a Collector that was told of news."""
CUT_SHORT = "The worker that ran it has ended before it was done."
SENDER, COLLECTOR = "sender", "collector"


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that this holder of the lease has to do."""

    id: int
    connection: int
    connection_name: str
    cause: Cause
    started: datetime


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How far a task is; what is stored now and then. Texts are bounded by whoever fills them."""

    expected: int = 0
    done: int = 0
    expected_bytes: int = 0
    done_bytes: int = 0
    notes: str = ""
    transcript: str = ""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task of a run, for displays."""

    id: int
    kind: str
    name: str
    started: datetime
    finished: datetime | None
    outcome: str
    text: str
    progress: TaskProgress


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its tasks, for displays."""

    id: int
    connection: int
    connection_name: str
    cause: str
    started: datetime
    finished: datetime | None
    outcome: str
    stop_requested: bool
    tasks: tuple[TaskView, ...] = field(default=())


# ------------------------------------------------------------ beginning


def has_marked() -> bool:
    """Whether a Connection waits to run; asks without writing."""
    return Connection.objects.filter(marked__isnull=False).exists()


def has_abandoned() -> bool:
    """Whether a run looks as if its worker were gone: `begin_next` closes it."""
    late = clock.now() - timedelta(seconds=LEASE_SECONDS)
    rows = ConnectionRun.objects.filter(finished=None).exclude(cause__in=BESIDE)
    return any(heartbeat < late or leases.is_dead(owner) for heartbeat, owner in rows.values_list("heartbeat", "owner"))


def begin_next(owner: str) -> BegunRun | None:
    """Take the mark off the first marked Connection and begin its run; None when there is none.

    The caller holds RUN_LEASE. Raises nothing when it has lost it: then None, too.
    """
    now = clock.now()
    with transaction.atomic():
        if not leases.confirm(RUN_LEASE, owner):
            return None
        _close(ConnectionRun.objects.exclude(cause__in=BESIDE), now)
        silent = now - timedelta(seconds=LEASE_SECONDS)
        _close(ConnectionRun.objects.filter(cause__in=BESIDE, heartbeat__lt=silent), now)
        connection = Connection.objects.select_for_update().filter(marked__isnull=False).order_by("pk").first()
        if connection is None:
            return None
        cause = Cause(connection.marked_cause or Cause.MANUAL)
        connection.marked, connection.marked_cause, connection.last_poll = None, "", now
        connection.save(update_fields=["marked", "marked_cause", "last_poll"])
        run = ConnectionRun.objects.create(connection=connection, cause=cause, started=now, heartbeat=now, owner=owner)
        changed()
    return BegunRun(run.pk, connection.pk, connection.name, cause, now)


def begin_immediate(connection: int, owner: str) -> BegunRun | None:
    """A run of a Sender alone; None when its Connection is gone. The caller holds the Sender's lease."""
    now = clock.now()
    with transaction.atomic():
        row = Connection.objects.filter(pk=connection).first()
        if row is None:
            return None
        _close(ConnectionRun.objects.filter(connection=row, cause=Cause.IMMEDIATE), now)
        run = ConnectionRun.objects.create(
            connection=row, cause=Cause.IMMEDIATE, started=now, heartbeat=now, owner=owner
        )
    return BegunRun(run.pk, row.pk, row.name, Cause.IMMEDIATE, now)


def begin_watched(collector: int, owner: str) -> BegunRun | None:
    """A run of a Collector alone, for the first Connection that uses it; None when there is none. The caller holds the
    Collector's lease."""
    now = clock.now()
    with transaction.atomic():
        row = Connection.objects.filter(collectors=collector).order_by("pk").first()
        if row is None:
            return None
        _close(ConnectionRun.objects.filter(cause=Cause.IDLE, tasks__collector=collector), now)
        run = ConnectionRun.objects.create(connection=row, cause=Cause.IDLE, started=now, heartbeat=now, owner=owner)
    return BegunRun(run.pk, row.pk, row.name, Cause.IDLE, now)


def begin_task(run: int, kind: str, name: str, *, sender: int | None = None, collector: int | None = None) -> int:
    """A Sender or a Collector begins; gives the task's number."""
    task = RunTask.objects.create(
        run_id=run, kind=kind, name=name, sender_id=sender, collector_id=collector, started=clock.now()
    )
    return task.pk


# ------------------------------------------------------------ going on


def record_progress(run: int, progress: dict[int, TaskProgress]) -> bool:
    """Store how far the tasks are, and that the run lives; whether somebody wants it to stop."""
    with transaction.atomic():
        for task, values in progress.items():
            _store(task, values)
        ConnectionRun.objects.filter(pk=run).update(heartbeat=clock.now())
        wishes = ConnectionRun.objects.filter(pk=run).values_list("stop_requested", flat=True)
        return bool(next(iter(wishes), True))


def request_stop(run: int) -> None:
    """The run ends as soon as it can without losing anything; its other tasks are not begun."""
    with transaction.atomic():
        ConnectionRun.objects.filter(pk=run, finished=None).update(stop_requested=True)
        changed()


# ------------------------------------------------------------ ending


def end_task(task: int, outcome: Outcome, text: str, progress: TaskProgress) -> None:
    """How it came out; notes that the text repeats are left to it."""
    notes = "\n".join(note for note in progress.notes.splitlines() if note not in text)
    with transaction.atomic():
        _store(task, replace(progress, notes=notes))
        RunTask.objects.filter(pk=task).update(finished=clock.now(), outcome=outcome.value, text=text)


def end_run(run: int, outcomes: Collection[Outcome]) -> Outcome:
    """The run is over: its outcome, which colours *Last poll* unless it only sent at once."""
    outcome = combine(outcomes)
    with transaction.atomic():
        row = ConnectionRun.objects.select_for_update().filter(pk=run, finished=None).first()
        if row is not None:
            row.finished, row.outcome = clock.now(), outcome.value
            row.save(update_fields=["finished", "outcome"])
            if row.cause not in BESIDE:
                Connection.objects.filter(pk=row.connection_id).update(last_outcome=outcome.value)
        changed()
    return outcome


def combine(outcomes: Collection[Outcome]) -> Outcome:
    """Spec connectors 5.2: all failed, some failed, or none."""
    if not outcomes or all(outcome is Outcome.OK for outcome in outcomes):
        return Outcome.OK
    return Outcome.FAILED if all(outcome is Outcome.FAILED for outcome in outcomes) else Outcome.PARTLY


# ------------------------------------------------------------ looking


def find_running() -> list[RunView]:
    """What runs at the moment, with how far it is; runs of dead workers are left out."""
    return list(_views(find_alive()))


def find_alive() -> QuerySet[ConnectionRun]:
    """Rows of what runs at the moment."""
    fresh = clock.now() - timedelta(seconds=LEASE_SECONDS)
    rows = ConnectionRun.objects.filter(finished=None, heartbeat__gt=fresh)
    dead = [pk for pk, owner in rows.values_list("pk", "owner") if leases.is_dead(owner)]
    return rows.exclude(pk__in=dead)


def list_runs(connection: int | None = None, limit: int = 50) -> list[RunView]:
    """The latest first."""
    rows = ConnectionRun.objects.all() if connection is None else ConnectionRun.objects.filter(connection=connection)
    return list(_views(rows.order_by("-pk")[:limit]))


def find_run(run: int) -> RunView | None:
    """One, whole; None when it is gone."""
    return next(iter(_views(ConnectionRun.objects.filter(pk=run))), None)


def find_run_after(connection: int, run: int) -> RunView | None:
    """The first run of a Connection after the one of this number, sending at once left out; None: not yet."""
    rows = ConnectionRun.objects.filter(connection=connection, pk__gt=run).exclude(cause__in=BESIDE)
    return next(iter(_views(rows.order_by("pk")[:1])), None)


def newest_run() -> int:
    """The number of the run that began last; 0 when there was none."""
    return ConnectionRun.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def forget_runs(before: datetime) -> int:
    """The history's end: finished runs that began earlier; gives how many."""
    deleted = ConnectionRun.objects.filter(started__lt=before, finished__isnull=False).delete()[1]
    return deleted.get(ConnectionRun._meta.label, 0)


def _close(rows: QuerySet[ConnectionRun], now: datetime) -> int:
    """What nobody will finish any more: its worker has lost the lease that the caller has now."""
    abandoned = list(rows.filter(finished=None).values_list("pk", "connection_id", "cause"))
    ids = [pk for pk, _, _ in abandoned]
    RunTask.objects.filter(run__in=ids, finished=None).update(
        finished=now, outcome=Outcome.FAILED.value, text=CUT_SHORT
    )
    ConnectionRun.objects.filter(pk__in=ids).update(finished=now, outcome=Outcome.FAILED.value)
    for _, connection, cause in abandoned:
        if cause not in BESIDE:
            Connection.objects.filter(pk=connection).update(last_outcome=Outcome.FAILED.value)
    return len(ids)


def _store(task: int, progress: TaskProgress) -> None:
    RunTask.objects.filter(pk=task).update(
        expected=progress.expected,
        done=progress.done,
        expected_bytes=progress.expected_bytes,
        done_bytes=progress.done_bytes,
        notes=progress.notes,
        transcript=progress.transcript,
    )


def _views(rows: QuerySet[ConnectionRun]) -> Iterable[RunView]:
    for row in rows.select_related("connection").prefetch_related("tasks"):
        yield RunView(
            id=row.pk,
            connection=row.connection_id,
            connection_name=row.connection.name,
            cause=row.cause,
            started=row.started,
            finished=row.finished,
            outcome=row.outcome,
            stop_requested=row.stop_requested,
            tasks=tuple(map(_task, row.tasks.all())),
        )


def _task(row: RunTask) -> TaskView:
    progress = TaskProgress(row.expected, row.done, row.expected_bytes, row.done_bytes, row.notes, row.transcript)
    return TaskView(row.pk, row.kind, row.name, row.started, row.finished, row.outcome, row.text, progress)
