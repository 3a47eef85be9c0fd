# SPDX-License-Identifier: MIT
"""What makes a Connection run: the schedule at each minute, somebody's wish, the files, an urgent message.

All of them leave a mark on the Connection, in the database, which `runs.begin_next` takes away again: a mark is a flag
and not a counter, and it survives everybody's restart (spec connectors 2.3, 3.2, 3.4, 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mailserver import clock
from mailserver.config.catalog import TIME_ZONE
from mailserver.config.stored import get_setting
from mailserver.connectors.changes import changed
from mailserver.connectors.models import Connection, ScheduleItem, ScheduleState
from mailserver.connectors.runs import BESIDE, find_alive
from mailserver.connectors.schedule import Item, Situation, evaluate, find_coming, floor_minute, next_poll
from mailserver.connectors.values import Cause

CONNECT_NOW = "CONNECT.NOW"
PAUSE_FILES = ("CONNECT.PAUSE", "SCHEDULE.PAUSE")
"""Both names are in the reference product's documentation, in different places."""
CLOCK_SLACK = timedelta(minutes=5)
"""A minute that was looked at is looked at again only when the clock has gone back by more than this."""

OUTRANKED: dict[Cause, tuple[Cause, ...]] = {
    Cause.SCHEDULE: (),
    Cause.URGENT: (Cause.SCHEDULE,),
    Cause.MANUAL: (Cause.SCHEDULE, Cause.URGENT),
    Cause.FILE: (Cause.SCHEDULE, Cause.URGENT),
}
"""Whose mark each cause makes its own: what runs anyway shall try what is deferred, or outlive a pause."""

URGENT_WORK = "urgent-connect"
"""The kind of work row that an urgent message in the outgoing queue asks for (spec connectors 3.6)."""


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """The schedule's state, for displays."""

    paused: bool
    paused_since: datetime | None
    paused_by_file: str
    next_poll: datetime | None


def tick(waiting: Callable[[int], int]) -> frozenset[int]:
    """Look at the files and at the schedule for the present minute; gives the Connections marked.

    `waiting` says how many messages a Connection could send. Of many callers in a minute one evaluates it; a minute
    in which nobody called is not made up for.
    """
    now = clock.now()
    marked = _look_for_files(now)
    minute = floor_minute(now)
    with transaction.atomic():
        state = _state()
        due = ScheduleState.objects.filter(
            Q(minute=None) | Q(minute__lt=minute) | Q(minute__gt=minute + CLOCK_SLACK), pk=state.pk
        )
        if due.update(minute=minute) and not _is_paused(state):
            wanted = evaluate(read_items(), minute, time_zone(), situation(waiting))
            marked |= _mark(wanted, Cause.SCHEDULE)
    return marked


def connect_now(connections: Collection[int] | None = None, cause: Cause = Cause.MANUAL) -> frozenset[int]:
    """Run these as soon as no other Connection does; None: the default ones. Gives those that will.

    One that runs already runs once more afterwards. A pause of the schedule does not matter.
    """
    with transaction.atomic():
        if connections is None:
            connections = list(Connection.objects.filter(is_default=True).values_list("pk", flat=True))
        return _mark(connections, cause)


def connect_urgently() -> frozenset[int]:
    """An urgent message waits: the default Connections run, unless the schedule is paused."""
    return frozenset() if is_paused() else connect_now(cause=Cause.URGENT)


def pause_schedule() -> None:
    """No more scheduled or urgent runs, from now on and after a restart; what is marked so runs no more."""
    with transaction.atomic():
        state = _state()
        state.paused, state.paused_since = True, clock.now()
        state.save(update_fields=["paused", "paused_since"])
        Connection.objects.filter(marked_cause__in=(Cause.SCHEDULE, Cause.URGENT)).update(marked=None, marked_cause="")
        changed()


def resume_schedule() -> None:
    """Go on; pause files go as well, here at once, elsewhere at the worker's next tick."""
    for name in PAUSE_FILES:
        (_folder() / name).unlink(missing_ok=True)
    with transaction.atomic():
        state = _state()
        state.paused, state.paused_since, state.paused_by_file, state.resumed = False, None, "", clock.now()
        state.save(update_fields=["paused", "paused_since", "paused_by_file", "resumed"])
        changed()


def is_paused() -> bool:
    """By somebody, or by a file."""
    return _is_paused(_state())


def schedule_view() -> ScheduleView:
    """The state, and when something runs next as far as times say."""
    state = _state()
    paused = _is_paused(state)
    found = None if paused else next_poll(read_items(), clock.now(), time_zone(), situation())
    return ScheduleView(paused, state.paused_since, state.paused_by_file, found)


def find_scheduled(waiting: Callable[[int], int]) -> frozenset[int]:
    """The Connections that the schedule runs sooner or later as things are now: none while it is paused."""
    if is_paused():
        return frozenset()
    return find_coming(read_items(), clock.now(), time_zone(), situation(waiting))


def read_items() -> list[Item]:
    """The schedule as `schedule.py` takes it."""
    rows = ScheduleItem.objects.prefetch_related("connections").order_by("pk")
    return [_item(row) for row in rows]


def situation(waiting: Callable[[int], int] = lambda connection: 0) -> Situation:
    """Which Connections there are now."""
    rows = list(Connection.objects.values_list("pk", "is_default"))
    return Situation(frozenset(pk for pk, _ in rows), frozenset(pk for pk, default in rows if default), waiting)


def time_zone() -> ZoneInfo:
    """The installation's."""
    return ZoneInfo(get_setting(TIME_ZONE))


def _mark(connections: Iterable[int], cause: Cause) -> frozenset[int]:
    """Set the flag; the schedule's trigger for the one that runs now is dropped (spec connectors 3.5.4), which is none
    that a dead worker left unfinished."""
    now = clock.now()
    wanted = set(connections)
    if cause is Cause.SCHEDULE:
        wanted -= set(find_alive().exclude(cause__in=BESIDE).values_list("connection_id", flat=True))
    rows = Connection.objects.filter(pk__in=wanted)
    if rows.filter(marked=None).update(marked=now, marked_cause=cause.value):
        changed()
    rows.filter(marked_cause__in=OUTRANKED[cause]).update(marked_cause=cause.value)
    return frozenset(rows.values_list("pk", flat=True))


def _look_for_files(now: datetime) -> frozenset[int]:
    """Spec connectors 3.2: each tick once."""
    folder = _folder()
    state = _state()
    found = ""
    for name in PAUSE_FILES:
        path = folder / name
        try:
            made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except OSError:
            continue
        if state.resumed is not None and made < state.resumed:
            path.unlink(missing_ok=True)
        else:
            found = found or name
    if found != state.paused_by_file:
        ScheduleState.objects.filter(pk=state.pk).update(paused_by_file=found)
        changed()
    if not (folder / CONNECT_NOW).exists():
        return frozenset()
    with transaction.atomic():
        ScheduleState.objects.select_for_update().get(pk=state.pk)  # Several beats may see it: it is one wish.
        if not (folder / CONNECT_NOW).exists():
            return frozenset()
        marked = connect_now(cause=Cause.FILE)
        (folder / CONNECT_NOW).unlink(missing_ok=True)
    return marked


def _state() -> ScheduleState:
    return ScheduleState.objects.get_or_create(pk=1)[0]


def _is_paused(state: ScheduleState) -> bool:
    return state.paused or bool(state.paused_by_file)


def _folder() -> Path:
    return Path(settings.DATA)


def _item(row: ScheduleItem) -> Item:
    once = row.mode == ScheduleItem.Mode.ONCE
    return Item(
        id=row.pk,
        connections=frozenset(connection.pk for connection in row.connections.all()),
        to_default=row.to_default,
        deny=row.deny,
        every_minutes=row.every_minutes,
        start=row.start,
        end=row.end,
        once_at=row.once_at if once else None,
        days=frozenset(map(int, row.days)),
        minimum_messages=row.minimum_messages,
        enabled=row.enabled,
    )
