# SPDX-License-Identifier: MIT
"""What a unit lays claim to is had once: a collector's message, an outcome that is told. Over every MailStore."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailserver.connectors.models import Collector, RemoteMessage, SeenMessage
from mailserver.errors import Kind
from mailserver.store.interface import Collected, Reported, SeenDigest
from mailserver.store.memory import MemoryStore
from tests.contract.world import World, fails
from tests.support.filings import make_unit
from tests.support.queueing import make_queued


def new_collector(world: World) -> int:
    if isinstance(world.store, MemoryStore):
        world.store.collectors.add(7)
        return 7
    return Collector.objects.create(name="Provider").pk


def test_message_is_collected_once(world: World) -> None:
    collected = Collected(new_collector(world), "uid-1", "REF", 100)
    unit = replace(make_unit(world.inbox), collected=(collected,), seen=(SeenDigest(world.user, "d" * 64),))
    world.do(unit)
    fails(Kind.EXISTS, lambda: world.do(unit))
    assert world.uids() == [1]
    world.do(replace(make_unit(world.inbox), collected=(replace(collected, key="uid-2"),)))
    assert world.uids() == [1, 2]


def test_two_units_of_one_batch_cannot_collect_the_same(world: World) -> None:
    unit = replace(make_unit(world.inbox), collected=(Collected(new_collector(world), "uid-1"),))
    futures = [world.store.submit(unit), world.store.submit(unit)]
    errors = [future.exception(10) for future in futures]
    assert [error is None for error in errors] == [True, False]
    assert world.uids() == [1]


def test_collector_that_is_gone_files_nothing(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.do(replace(make_unit(world.inbox), collected=(Collected(999, "uid-1"),))))
    assert world.uids() == []


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("world", ["database"], indirect=True)
def test_what_is_written(world: World) -> None:
    collector = new_collector(world)
    RemoteMessage.objects.create(
        collector_id=collector, key="uid-1", first_seen="2020-01-01T00:00:00Z", last_listed="2020-01-01T00:00:00Z"
    )
    unit = replace(
        make_unit(world.inbox),
        collected=(Collected(collector, "uid-1", "REF", 100),),
        seen=(SeenDigest(world.user, "d" * 64), SeenDigest(world.user, "d" * 64)),
    )
    world.do(unit)
    row = RemoteMessage.objects.get()
    assert (row.ref, row.size, row.downloaded is not None, row.first_seen.year) == ("REF", 100, True, 2020)
    assert SeenMessage.objects.count() == 1


def test_sender_is_told_once(world: World) -> None:
    unit = replace(make_unit(world.inbox), reported=(Reported((queued_row(world),)),))
    world.do(unit)
    fails(Kind.EXISTS, lambda: world.do(unit))
    assert world.uids() == [1]
    world.do(replace(unit, reported=(Reported(unit.reported[0].rows, delay=True),)))
    assert world.uids() == [1, 2]


def test_two_units_of_one_batch_cannot_tell_the_same(world: World) -> None:
    unit = replace(make_unit(world.inbox), reported=(Reported((queued_row(world), 4711)),))
    futures = [world.store.submit(unit), world.store.submit(unit)]
    errors = [future.exception(10) for future in futures]
    assert [error is None for error in errors] == [True, False]
    assert world.uids() == [1]


def queued_row(world: World) -> int:
    if isinstance(world.store, MemoryStore):
        return 1
    (row,) = make_queued()
    return row
