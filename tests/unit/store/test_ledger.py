# SPDX-License-Identifier: MIT
"""The ledger by itself: what a batch has to write down after its units.

What units mean to a client, the contract suite says; here is what reaches the database, and what does not.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailserver.store.interface import Copying, FlagChange, Removal, Unit
from mailserver.store.ledger import EntryState, Ledger, MailboxState, entries_of, mailboxes_of
from mailserver.values import ContentId, Flag, MailboxId, ModSeq, Uid
from tests.support.filings import make_filing

NOW = datetime(2026, 3, 2, tzinfo=UTC)
BOX, OTHER = MailboxId(1), MailboxId(2)
SEEN = frozenset({Flag.SEEN})
NONE: frozenset[str] = frozenset()


def entry(uid: int) -> EntryState:
    return EntryState(BOX, Uid(uid), ModSeq(uid + 1), NONE, 10, NOW, NOW, ContentId(uid), row=100 + uid)


@pytest.fixture
def ledger() -> Ledger:
    """Three messages in the first mailbox, none in the other."""
    boxes = {
        BOX: MailboxState(BOX, 7, uid_next=4, modseq=4, messages=3, unseen=3, size=30),
        OTHER: MailboxState(OTHER, 8),
    }
    return Ledger(boxes, {BOX: {Uid(uid): entry(uid) for uid in (1, 2, 3)}}, NOW)


def written(ledger: Ledger) -> tuple[list[EntryState], list[EntryState], list[EntryState]]:
    return list(ledger.added), list(ledger.changed), ledger.removed


def rows(entries: object) -> list[int]:
    return [state.row for state in entries]  # type: ignore[attr-defined]


def test_nothing_is_written_for_what_changes_nothing(ledger: Ledger) -> None:
    ledger.carry_out(Unit(flag_changes=(FlagChange(BOX, (Uid(1),), remove=SEEN),), removals=(Removal(OTHER, ()),)), [])
    assert (ledger.touched, *written(ledger), ledger.gone) == (set(), [], [], [], [])


def test_a_change_is_written_once_however_often_it_comes(ledger: Ledger) -> None:
    for change in ({"add": SEEN}, {"add": frozenset({"x"})}, {"remove": SEEN}):
        ledger.carry_out(Unit(flag_changes=(FlagChange(BOX, (Uid(1), Uid(2)), **change),)), [])  # type: ignore[arg-type]
    assert rows(ledger.changed) == [101, 102]
    assert {(state.flags, state.modseq) for state in ledger.changed} == {(frozenset({"x"}), 7)}


def test_what_is_changed_and_then_removed_is_only_removed(ledger: Ledger) -> None:
    ledger.carry_out(Unit(flag_changes=(FlagChange(BOX, (Uid(1),), add=SEEN),)), [])
    ledger.carry_out(Unit(removals=(Removal(BOX, (Uid(1),)),)), [])
    assert (rows(ledger.changed), rows(ledger.removed)) == ([], [101])


def test_what_is_filed_and_removed_in_one_batch_leaves_only_its_uid(ledger: Ledger) -> None:
    (filed,) = ledger.carry_out(Unit(filings=(make_filing(OTHER),)), [ContentId(9)]).filed
    ledger.carry_out(Unit(flag_changes=(FlagChange(OTHER, (filed.uid,), add=SEEN),)), [])
    ledger.carry_out(Unit(removals=(Removal(OTHER, (filed.uid,)),)), [])
    assert written(ledger) == ([], [], [])
    assert [(gone.mailbox, gone.uid) for gone in ledger.gone] == [(OTHER, filed.uid)]
    assert (ledger.mailboxes[OTHER].uid_next, ledger.mailboxes[OTHER].messages) == (2, 0)


def test_a_held_entry_is_changed_not_removed(ledger: Ledger) -> None:
    ledger.carry_out(Unit(removals=(Removal(BOX, (Uid(2),), hold=True),)), [])
    assert rows(ledger.changed) == [102]
    assert not ledger.removed
    assert ledger.mailboxes[BOX].messages == 2


def test_a_new_entry_that_is_held_at_once_is_added_as_held(ledger: Ledger) -> None:
    ledger.carry_out(
        Unit(filings=(make_filing(OTHER),), removals=(Removal(OTHER, (Uid(1),), hold=True),)), [ContentId(9)]
    )
    assert [state.held for state in ledger.added] == [True]
    assert not ledger.changed


def test_a_copy_leaves_its_source_alone(ledger: Ledger) -> None:
    ledger.carry_out(Unit(copies=(Copying(BOX, (Uid(1),), OTHER),)), [])
    ledger.carry_out(Unit(flag_changes=(FlagChange(OTHER, (Uid(1),), add=SEEN),)), [])
    assert ledger.touched == {OTHER}
    assert [state.flags for state in ledger.added] == [SEEN]
    assert ledger.entries[BOX][Uid(1)].flags == NONE


def test_a_unit_names_every_mailbox_and_entry_that_it_touches() -> None:
    boxes = [MailboxId(number) for number in range(6)]
    unit = Unit(
        filings=(make_filing(boxes[0], boxes[1]),),
        flag_changes=(FlagChange(boxes[2], (Uid(1),)),),
        copies=(Copying(boxes[3], (Uid(2),), boxes[4]),),
        removals=(Removal(boxes[5], (Uid(3),)),),
    )
    assert set(mailboxes_of(unit)) == set(boxes)
    assert list(entries_of(unit)) == [(boxes[2], (1,)), (boxes[3], (2,)), (boxes[5], (3,))]
