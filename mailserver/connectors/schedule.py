# SPDX-License-Identifier: MIT
"""When Connections run: the schedule's items against a minute on the office's clock (spec connectors 3.3 to 3.5).

Pure: `zone` is the installation's, and so are all times of items. On the days when clocks change: an item that runs
once runs once, also when its time comes twice or not at all (then as much later as the clocks jumped); one that
repeats follows the clock's face, so it fires in both of two equal hours, but not in the second when its own interval
is longer than the hour that comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
EVERY_DAY = frozenset(range(1, 8))
LOOK_AHEAD_DAYS = 8
"""An item that fires at all fires within a week, or a day later when its time was left out."""
MOST_DENIED = 2000
"""How many denied moments `next_poll` passes over: more than there are minutes in a day."""


@dataclass(frozen=True, slots=True)
class Item:
    """A schedule item. `once_at` makes it one that fires once a day; `days` are 1 (Monday) to 7."""

    id: int
    connections: frozenset[int] = frozenset()
    to_default: bool = False
    deny: bool = False
    every_minutes: int = 10
    start: time = time(0, 0)
    end: time = time(23, 59)
    once_at: time | None = None
    days: frozenset[int] = EVERY_DAY
    minimum_messages: int = 0
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """What the items are asked about: which Connections there are, and how many messages each could send now."""

    connections: frozenset[int]
    defaults: frozenset[int]
    waiting: Callable[[int], int] = field(default=lambda connection: 0)


def evaluate(items: Iterable[Item], minute: datetime, zone: tzinfo, situation: Situation) -> frozenset[int]:
    """The Connections that are to run because of this minute."""
    firing = [item for item in items if fires(item, minute, zone)]
    wanted = frozenset[int]().union(*(_selected(item, situation) for item in firing if not item.deny))
    denied = frozenset[int]().union(*(_selected(item, situation) for item in firing if item.deny))
    return wanted - denied


def fires(item: Item, minute: datetime, zone: tzinfo) -> bool:
    """Whether the item's time is this minute; conditions aside."""
    if not item.enabled:
        return False
    minute = floor_minute(minute)
    local = minute.astimezone(zone)
    if item.once_at is not None:
        return any(
            day.isoweekday() in item.days and _instant(day, item.once_at, zone) == minute
            for day in (local.date(), local.date() - DAY)
        )
    if local.isoweekday() not in item.days or not item.start <= local.time() <= item.end:
        return False
    if (_minutes(local.time()) - _minutes(item.start)) % item.every_minutes:
        return False
    return not local.fold or item.every_minutes <= _repeated_minutes(local, zone)


def next_poll(items: Collection[Item], now: datetime, zone: tzinfo, situation: Situation) -> datetime | None:
    """When something runs next, as far as times say; None: never. Message counts are left out of it."""
    full = Situation(situation.connections, situation.defaults, _enough)
    after = floor_minute(now)
    for _ in range(MOST_DENIED):
        moments = [next_fire(item, after, zone) for item in items if not item.deny and _selected(item, full)]
        coming = [moment for moment in moments if moment is not None]
        if not coming:
            return None
        after = min(coming)
        if evaluate(items, after, zone, full):
            return after
    return None


def find_coming(items: Collection[Item], now: datetime, zone: tzinfo, situation: Situation) -> frozenset[int]:
    """The Connections that run sooner or later as things are now. Minute by minute: one item may deny another's."""
    asked = [item for item in items if item.enabled and not item.deny]
    wanted = frozenset[int]().union(*(_selected(item, situation) for item in asked))
    left, minute = set(wanted), floor_minute(now)
    for _ in range(LOOK_AHEAD_DAYS * DAY // MINUTE):
        if not left:
            break
        left -= evaluate(items, minute, zone, situation)
        minute += MINUTE
    return wanted - left


def next_fire(item: Item, after: datetime, zone: tzinfo) -> datetime | None:
    """The item's first moment after the one given; None when it has none."""
    if not item.enabled:
        return None
    today = after.astimezone(zone).date()
    for offset in range(-1, LOOK_AHEAD_DAYS + 1):
        day = today + offset * DAY
        coming = [moment for moment in _moments(item, day, zone) if moment > after]
        if coming:
            return min(coming)
    return None


def floor_minute(moment: datetime) -> datetime:
    """The minute's beginning, in UTC."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def _selected(item: Item, situation: Situation) -> frozenset[int]:
    """Those that the item runs, or denies: a deny item that names none denies all."""
    chosen = item.connections & situation.connections
    if item.to_default:
        chosen |= situation.defaults
    if item.deny and not (item.connections or item.to_default):
        chosen = situation.connections
    if not item.minimum_messages:
        return chosen
    return frozenset(number for number in chosen if situation.waiting(number) >= item.minimum_messages)


def _moments(item: Item, day: date, zone: tzinfo) -> Iterator[datetime]:
    if day.isoweekday() not in item.days:
        return
    if item.once_at is not None:
        yield _instant(day, item.once_at, zone)
        return
    for minutes in range(_minutes(item.start), _minutes(item.end) + 1, item.every_minutes):
        face = time(minutes // 60, minutes % 60)
        for fold in (0, 1):
            moment = datetime.combine(day, face, zone).replace(fold=fold).astimezone(UTC)
            if fires(item, moment, zone):
                yield moment


def _instant(day: date, face: time, zone: tzinfo) -> datetime:
    """When the clock shows this: the first time if twice, as much later as it jumped if never (PEP 495)."""
    return floor_minute(datetime.combine(day, face, zone))


def _repeated_minutes(local: datetime, zone: tzinfo) -> int:
    """How long the stretch is that comes twice; `local` is in its second pass."""
    first = local.replace(fold=0).astimezone(UTC)
    return (local.astimezone(UTC) - first) // MINUTE


def _minutes(face: time) -> int:
    return face.hour * 60 + face.minute


def _enough(connection: int) -> int:
    return 2**31
