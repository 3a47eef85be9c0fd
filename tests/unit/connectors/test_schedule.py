# SPDX-License-Identifier: MIT
"""The schedule: every rule by a table, and what holds on any day of any zone, the days of changing clocks included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.connectors.schedule import Item, Situation, evaluate, find_coming, fires, next_fire, next_poll

LONDON = ZoneInfo("Europe/London")
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "America/Santiago",
    )
]
ALL = Situation(frozenset({1, 2, 3}), frozenset({1}))
SPRING = date(2026, 3, 29)
"""02:00 becomes 03:00 in Berlin; 01:00 to 02:00 UTC in London."""
AUTUMN = date(2026, 10, 25)
"""03:00 becomes 02:00 in Berlin: 02:00 to 03:00 comes twice."""


def at(text: str, zone: ZoneInfo = LONDON, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def run_at(items: list[Item], text: str, situation: Situation = ALL) -> set[int]:
    return set(evaluate(items, at(text), LONDON, situation))


FIVE = Item(1, frozenset({2}), every_minutes=5)
HOURLY_DENY = Item(2, deny=True, every_minutes=60)


@pytest.mark.parametrize(("text", "expected"), [("09:55", {2}), ("10:00", set()), ("10:05", {2}), ("10:04", set())])
def test_the_documented_example_of_a_deny_item(text: str, expected: set[int]) -> None:
    assert run_at([FIVE, HOURLY_DENY], f"2026-11-25 {text}") == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], set()),
        ([Item(1, frozenset({2})), Item(2, to_default=True)], {1, 2}),
        ([Item(1, frozenset({2}), enabled=False)], set()),
        ([Item(1, frozenset({2}), days=frozenset({2}), once_at=time(9, 0))], {2}),
        ([Item(1, frozenset({2}), days=frozenset())], set()),
        ([FIVE, HOURLY_DENY], {2}),
        ([FIVE, Item(2, deny=True, every_minutes=5)], set()),
        ([FIVE, Item(2, deny=True, every_minutes=1, enabled=False)], {2}),
        ([Item(1, frozenset({2, 3}), minimum_messages=3)], {3}),
    ],
)
def test_which_connections_run_sooner_or_later(items: list[Item], expected: set[int]) -> None:
    situation = Situation(ALL.connections, ALL.defaults, waiting=lambda connection: connection)
    assert find_coming(items, at("2026-11-25 10:02"), LONDON, situation) == expected


@pytest.mark.parametrize(
    ("item", "text", "expected"),
    [
        (Item(1, frozenset({2})), "2026-11-25 00:00", {2}),
        (Item(1, frozenset({2})), "2026-11-25 23:50", {2}),
        (Item(1, frozenset({2}), enabled=False), "2026-11-25 00:00", set()),
        (Item(1, frozenset({2}), start=time(7, 3), every_minutes=10), "2026-11-25 07:03", {2}),
        (Item(1, frozenset({2}), start=time(7, 3), every_minutes=10), "2026-11-25 07:13", {2}),
        (Item(1, frozenset({2}), start=time(7, 3), every_minutes=10), "2026-11-25 07:10", set()),
        (Item(1, frozenset({2}), start=time(7, 3), every_minutes=10), "2026-11-25 06:53", set()),
        (Item(1, frozenset({2}), end=time(8, 0), every_minutes=60), "2026-11-25 08:00", {2}),
        (Item(1, frozenset({2}), end=time(8, 0), every_minutes=60), "2026-11-25 09:00", set()),
        (Item(1, frozenset({2}), start=time(9), end=time(9)), "2026-11-25 09:00", {2}),
        (Item(1, frozenset({2}), once_at=time(12, 30)), "2026-11-25 12:30", {2}),
        (Item(1, frozenset({2}), once_at=time(12, 30)), "2026-11-25 12:31", set()),
        (Item(1, frozenset({2}), days=frozenset({3})), "2026-11-25 00:00", {2}),
        (Item(1, frozenset({2}), days=frozenset({1, 2, 4, 5, 6, 7})), "2026-11-25 00:00", set()),
        (Item(1, to_default=True), "2026-11-25 00:00", {1}),
        (Item(1, frozenset({3}), to_default=True), "2026-11-25 00:00", {1, 3}),
        (Item(1, frozenset({99})), "2026-11-25 00:00", set()),
        (Item(1), "2026-11-25 00:00", set()),
        (Item(1, frozenset({2}), start=time(9, 30), once_at=time(8, 0)), "2026-11-25 08:00", {2}),
    ],
)
def test_items(item: Item, text: str, expected: set[int]) -> None:
    assert run_at([item], text) == expected


def test_seconds_do_not_matter() -> None:
    assert run_at([FIVE], "2026-11-25 10:05:59.999") == {2}


@pytest.mark.parametrize(
    ("deny", "expected"),
    [
        (Item(9, deny=True, every_minutes=1), set()),
        (Item(9, frozenset({2}), deny=True, every_minutes=1), {1, 3}),
        (Item(9, to_default=True, deny=True, every_minutes=1), {2, 3}),
        (Item(9, frozenset({2}), to_default=True, deny=True, every_minutes=1), {3}),
        (Item(9, deny=True, every_minutes=1, enabled=False), {1, 2, 3}),
        (Item(9, deny=True, once_at=time(10, 1)), {1, 2, 3}),
    ],
)
def test_what_a_deny_item_denies(deny: Item, expected: set[int]) -> None:
    items = [Item(1, frozenset({1, 2})), Item(2, frozenset({3})), deny]
    assert run_at(items, "2026-11-25 10:00") == expected


@pytest.mark.parametrize(("minimum", "expected"), [(0, {1, 2, 3}), (1, {2, 3}), (5, {3}), (6, {3}), (7, set())])
def test_minimum_of_waiting_messages(minimum: int, expected: set[int]) -> None:
    situation = Situation(frozenset({1, 2, 3}), frozenset(), {1: 0, 2: 4, 3: 6}.__getitem__)
    assert run_at([Item(1, frozenset({1, 2, 3}), minimum_messages=minimum)], "2026-11-25 10:00", situation) == expected


def test_nobody_counts_messages_for_an_item_that_asks_for_none() -> None:
    def fail(connection: int) -> int:
        raise AssertionError("counted in vain")

    assert run_at([FIVE], "2026-11-25 10:05", Situation(frozenset({2}), frozenset(), fail)) == {2}


# ------------------------------------------------------------ clocks that change


def fired(item: Item, day: date, zone: ZoneInfo) -> list[str]:
    """The clock's face at each firing of a local day, `*` in the second of two equal hours."""
    return [
        f"{local:%H:%M}{'*' * local.fold}"
        for minute in minutes_of(day, zone)
        if fires(item, minute, zone) and (local := minute.astimezone(zone))
    ]


def minutes_of(day: date, zone: ZoneInfo) -> Iterator[datetime]:
    minute = datetime.combine(day, time(), zone).astimezone(UTC)
    while minute.astimezone(zone).date() <= day:
        if minute.astimezone(zone).date() == day:
            yield minute
        minute += timedelta(minutes=1)


@pytest.mark.parametrize(
    ("item", "day", "expected"),
    [
        (Item(1, once_at=time(2, 30)), SPRING, ["03:30"]),
        (Item(1, once_at=time(2, 0)), SPRING, ["03:00"]),
        (Item(1, once_at=time(3, 0)), SPRING, ["03:00"]),
        (Item(1, once_at=time(2, 30)), AUTUMN, ["02:30"]),
        (Item(1, once_at=time(3, 0)), AUTUMN, ["03:00"]),
        (Item(1, start=time(1), end=time(3), every_minutes=30), SPRING, ["01:00", "01:30", "03:00"]),
        (
            Item(1, start=time(1, 30), end=time(3), every_minutes=30),
            AUTUMN,
            ["01:30", "02:00", "02:30", "02:00*", "02:30*", "03:00"],
        ),
        (Item(1, start=time(1), end=time(4), every_minutes=60), AUTUMN, ["01:00", "02:00", "02:00*", "03:00", "04:00"]),
        (Item(1, start=time(0), end=time(5), every_minutes=120), AUTUMN, ["00:00", "02:00", "04:00"]),
        (Item(1, start=time(0), end=time(5), every_minutes=120), SPRING, ["00:00", "04:00"]),
    ],
)
def test_days_of_changing_clocks(item: Item, day: date, expected: list[str]) -> None:
    assert fired(item, day, BERLIN) == expected


days = st.one_of(
    st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    st.sampled_from([SPRING, AUTUMN, date(2026, 4, 5), date(2026, 10, 4), date(2026, 3, 8), date(2026, 11, 1)]),
)
times = st.times().map(lambda face: face.replace(second=0, microsecond=0))
zones = st.sampled_from(ZONES)


@given(days, times, zones)
def test_once_is_once_every_day(day: date, face: time, zone: ZoneInfo) -> None:
    """Also where the time comes twice, or not at all: then it comes later, perhaps after midnight."""
    item = Item(1, once_at=face, days=frozenset({day.isoweekday()}))
    start = datetime.combine(day, time(), zone).astimezone(UTC)
    moments = [start + timedelta(minutes=count) for count in range(28 * 60)]
    assert sum(fires(item, moment, zone) for moment in moments) == 1


@given(days, times, times, st.integers(1, 1439), zones)
def test_repeated_ones_keep_to_the_clocks_face(day: date, one: time, other: time, every: int, zone: ZoneInfo) -> None:
    start, end = min(one, other), max(one, other)
    item = Item(1, start=start, end=end, every_minutes=every)
    seen = [(minute, minute.astimezone(zone)) for minute in minutes_of(day, zone) if fires(item, minute, zone)]
    for _, local in seen:
        assert start <= local.time() <= end
        assert (local.hour * 60 + local.minute - start.hour * 60 - start.minute) % every == 0
    exists = datetime.combine(day, start, zone).astimezone(UTC).astimezone(zone).time() == start
    if exists:
        assert seen[0][1].time() == start
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(seen)]
    if every > 120:
        assert all(gap >= timedelta(minutes=every - 60) for gap in gaps)
    assert all(gap <= timedelta(minutes=every + max(every, 60)) for gap in gaps)


@given(days, times, times, st.integers(1, 1439), zones, st.booleans(), st.sets(st.integers(1, 7), min_size=1))
def test_the_next_moment_is_the_first_that_fires(
    day: date, one: time, other: time, every: int, zone: ZoneInfo, once: bool, weekdays: set[int]
) -> None:
    item = Item(
        1,
        start=min(one, other),
        end=max(one, other),
        every_minutes=every,
        once_at=one if once else None,
        days=frozenset(weekdays),
    )
    after = datetime.combine(day, other, zone).astimezone(UTC)
    found = next_fire(item, after, zone)
    assert found is not None
    assert found > after
    assert fires(item, found, zone)
    between = int((found - after).total_seconds() // 60)
    for step in range(1, min(between, 180)):
        assert not fires(item, after + timedelta(minutes=step), zone)
        assert not fires(item, found - timedelta(minutes=step), zone)


# ------------------------------------------------------------ next poll


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([FIVE], "2026-11-25 10:05"),
        ([FIVE, HOURLY_DENY], "2026-11-25 10:05"),
        ([Item(1, frozenset({2}), every_minutes=60), HOURLY_DENY], None),
        ([Item(1, frozenset({2}), every_minutes=30, minimum_messages=1000)], "2026-11-25 10:30"),
        ([Item(1, frozenset({2}), once_at=time(10, 0))], "2026-11-26 10:00"),
        ([Item(1, frozenset({2}), once_at=time(10, 0), days=frozenset({3}))], "2026-12-02 10:00"),
        ([Item(1, frozenset({2}), once_at=time(9, 0)), Item(2, to_default=True, once_at=time(23))], "2026-11-25 23:00"),
        ([HOURLY_DENY], None),
        ([], None),
        ([Item(1, frozenset({2}), enabled=False)], None),
        ([Item(1, frozenset({99}))], None),
        ([Item(1, to_default=True, once_at=time(11))], "2026-11-25 11:00"),
    ],
)
def test_next_poll(items: list[Item], expected: str | None) -> None:
    found = next_poll(items, at("2026-11-25 10:00:20"), LONDON, ALL)
    assert found == (at(expected) if expected else None)
