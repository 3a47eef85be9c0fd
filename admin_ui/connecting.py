# SPDX-License-Identifier: MIT
"""What Connections are doing, on the status page: the last and the next poll, what runs, and *Connect now*.

Spec connectors 5.1 and 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from admin_ui.lastpoll import poll_tag
from admin_ui.run_pages import CAUSES, percent_done
from mailserver import clock
from mailserver.connectors import runs, triggers
from mailserver.connectors.models import Connection, ConnectionRun, RunTask, Sender

DEFAULTS = "default"
"""In the drop-down: all default Connections."""


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A bar: `colour` is blue for collecting, green for a relay, red for direct sending."""

    name: str
    colour: str
    done: int
    expected: int
    percent: int


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run that goes on."""

    id: int
    name: str
    cause: str
    started: datetime
    tasks: tuple[ShownTask, ...]


@dataclass(frozen=True, slots=True)
class Connecting:
    """The panel, read at one moment."""

    state: str
    last: SafeString
    next_poll: datetime | None
    paused: bool
    running: tuple[ShownRun, ...]
    choices: tuple[tuple[str, str], ...]
    has_defaults: bool


def look() -> Connecting:
    """What goes on now."""
    connections = list(Connection.objects.select_related("sender").order_by("pk"))
    tasks = RunTask.objects.filter(finished=None).select_related("sender").defer("notes", "transcript")
    rows = runs.find_alive().select_related("connection").prefetch_related(Prefetch("tasks", tasks))
    running = tuple(_run(row) for row in rows)
    waiting = [row.name for row in connections if row.marked]
    latest = max(
        (row for row in connections if row.last_poll), key=lambda row: row.last_poll or clock.now(), default=None
    )
    schedule = triggers.schedule_view()
    return Connecting(
        state=_state(running, waiting),
        last=poll_tag(latest.last_poll, latest.last_outcome) if latest else poll_tag(None, ""),
        next_poll=schedule.next_poll,
        paused=schedule.paused,
        running=running,
        choices=tuple((str(row.pk), row.name) for row in connections),
        has_defaults=any(row.is_default for row in connections),
    )


def _state(running: tuple[ShownRun, ...], waiting: list[str]) -> str:
    parts = [f"Connected: {run.name}" for run in running]
    if waiting:
        parts.append(f"next: {', '.join(waiting)}")
    return "; ".join(parts) or "Idle"


def _run(row: ConnectionRun) -> ShownRun:
    tasks = tuple(map(_task, row.tasks.all()))
    return ShownRun(row.pk, row.connection.name, CAUSES.get(row.cause, row.cause), row.started, tasks)


def _task(task: RunTask) -> ShownTask:
    if task.kind != "sender":
        return ShownTask(task.name, "blue", task.done, task.expected, percent_done(task))
    direct = task.sender is not None and task.sender.method == Sender.Method.DIRECT
    return ShownTask("Sending", "red" if direct else "green", task.done, task.expected, percent_done(task))


@require_POST
def connect_now(request: HttpRequest) -> HttpResponse:
    """Run one Connection, or all default ones, as soon as none other runs."""
    chosen = request.POST.get("connection", "")
    if chosen == DEFAULTS:
        triggers.connect_now()
    elif chosen.isascii() and chosen.isdecimal():
        triggers.connect_now([int(chosen)])
    messages.success(request, "It begins as soon as no other Connection runs.")
    return HttpResponseRedirect(reverse("admin:index"))


@require_POST
def stop_run(request: HttpRequest, run: int) -> HttpResponse:
    """Ask a run to end; what is in hand is finished first."""
    runs.request_stop(run)
    messages.success(request, "It stops after the message in hand.")
    return HttpResponseRedirect(reverse("admin:run", args=[run]))
