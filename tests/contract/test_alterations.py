# SPDX-License-Identifier: MIT
"""What every MailStore tells its own process about each commit: exactly what somebody would read who asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mailserver.mime.envelope import MessageEnvelope
from mailserver.store.interface import Alteration, Copying, FlagChange, Removal, Unit
from mailserver.values import Flag, MailboxId, Uid
from tests.contract.world import World
from tests.support.filings import make_filing, make_unit

pytestmark = pytest.mark.usefixtures("still_clock")


def test_each_commit_is_told_before_its_future_is_done(world: World) -> None:
    told: list[Alteration] = []
    world.store.watch(told.extend)
    before = world.modseq()
    world.file(2, flags=frozenset({Flag.SEEN}))
    assert told
    filed = told[-1]
    assert filed.since < filed.changes.modseq == world.modseq()
    assert told[0].since == before
    (mailbox,) = [mailbox for mailbox in world.store.list_mailboxes(world.user) if mailbox.id == world.inbox]
    assert (filed.mailbox, filed.uid_next, filed.uid_validity) == (world.inbox, mailbox.uid_next, mailbox.uid_validity)
    assert filed.counts == world.store.count([world.inbox])[world.inbox]


@pytest.mark.parametrize(
    "unit",
    [
        lambda inbox, other: Unit(flag_changes=(FlagChange(inbox, (Uid(1), Uid(2)), add=frozenset({"$Work"})),)),
        lambda inbox, other: Unit(flag_changes=(FlagChange(inbox, (Uid(1),), replace=frozenset()),)),
        lambda inbox, other: Unit(removals=(Removal(inbox, (Uid(2),)),)),
        lambda inbox, other: Unit(removals=(Removal(inbox, (Uid(2),), hold=True),)),
        lambda inbox, other: Unit(copies=(Copying(inbox, (Uid(1), Uid(3)), other, move=True),)),
        lambda inbox, other: make_unit(inbox, other),
    ],
    ids=["flags added", "flags replaced", "removed", "held", "moved", "filed twice"],
)
def test_what_is_told_is_what_one_would_read(world: World, unit: Callable[[MailboxId, MailboxId], Unit]) -> None:
    world.file(3, flags=frozenset({Flag.SEEN}))
    before = {id_: world.store.get_mailbox_by_id(id_).modseq for id_ in (world.inbox, world.trash)}
    told: list[Alteration] = []
    world.store.watch(told.extend)
    world.do(unit(world.inbox, world.trash))
    assert told
    for alteration in told:
        assert alteration.since == before[alteration.mailbox]
        assert alteration.changes == world.store.get_changes(alteration.mailbox, alteration.since)
        assert alteration.counts == world.store.count([alteration.mailbox])[alteration.mailbox]


def test_what_changes_nothing_is_not_told(world: World) -> None:
    world.file(1, flags=frozenset({Flag.SEEN}))
    told: list[Alteration] = []
    world.store.watch(told.extend)
    world.do(Unit(flag_changes=(FlagChange(world.inbox, (Uid(1), Uid(9)), add=frozenset({Flag.SEEN})),)))
    assert told == []


def test_an_envelope_that_comes_with_a_message_is_the_one_that_is_read(world: World) -> None:
    filing = make_filing(world.inbox)
    envelope = MessageEnvelope(subject="given", message_id="<1@x>")
    (content,) = world.do(Unit(filings=(replace(filing, content=replace(filing.content, envelope=envelope)),))).contents
    read = world.store.read_envelopes([content])[content]
    assert read in (envelope, world.store.read_structures([content])[content].envelope)
