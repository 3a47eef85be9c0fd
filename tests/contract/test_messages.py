# SPDX-License-Identifier: MIT
"""What every MailStore promises about messages: the memory store and the database store both pass.

RFC 9051 §2.3.1.1 (UIDs); RFC 7162 §3.1 (mod-sequences), §3.2.10 (VANISHED).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.errors import Kind
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
from mailserver.store.interface import (
    Copying,
    Filing,
    FlagChange,
    NewContent,
    NewEntry,
    NewQueued,
    NewWork,
    Removal,
    Unit,
    UnitResult,
)
from mailserver.values import (
    Address,
    Body,
    Envelope,
    Flag,
    MailboxId,
    ModSeq,
    Recipient,
    Uid,
)
from tests.contract.world import GONE, LONG_AGO, World, fails
from tests.support.filings import WAIT_SECONDS, make_body, make_filing, make_unit
from tests.support.still_clock import StillClock

pytestmark = pytest.mark.usefixtures("still_clock")


# ---------------------------------------------------------------- filing


def test_a_message_comes_back_as_it_was_filed(world: World) -> None:
    head = b"Return-Path: <a@b>\r\nReceived: by here\r\n"
    content = NewContent(next_ref(), make_body(b"Subject: \xe4\r\n\r\n\x00body\r\n"), head, 20, {"subject": "\u00e4"})
    entry = NewEntry(world.inbox, frozenset({Flag.SEEN, "$Forwarded"}), LONG_AGO)
    result = world.do(Unit(filings=(Filing(content, (entry,)),)))
    (listed,) = world.store.list_entries(world.inbox)
    assert (listed.uid, listed.flags, listed.internal_date) == (1, frozenset({Flag.SEEN, "$Forwarded"}), LONG_AGO)
    assert listed.size == content.size
    assert result.contents == (listed.content,)
    (stored,) = world.store.read_contents([listed.content])
    assert b"".join(stored.chunks()) == head + b"Subject: \xe4\r\n\r\n\x00body\r\n"
    assert b"".join(stored.chunks(relay=True)) == b"Received: by here\r\nSubject: \xe4\r\n\r\n\x00body\r\n"
    assert (stored.ref, stored.size, dict(stored.fields)) == (content.ref, content.size, {"subject": "\u00e4"})
    assert world.store.read_fields([listed.content]) == {listed.content: {"subject": "\u00e4"}}


def test_without_an_internal_date_it_is_now(world: World, still_clock: StillClock) -> None:
    world.file()
    (entry,) = world.store.list_entries(world.inbox)
    assert entry.internal_date == entry.saved == still_clock()


MOMENTS = (
    LONG_AGO,
    LONG_AGO.replace(microsecond=1),
    LONG_AGO.replace(microsecond=999_999),
    datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    datetime(1800, 2, 28, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)


def test_a_table_has_what_the_list_has(world: World) -> None:
    flags = (frozenset[str](), frozenset({Flag.SEEN.value, "a,b"}), frozenset({"$Work"}))
    for number, moment in enumerate(MOMENTS):
        world.do(make_unit(world.inbox, flags=flags[number % 3], internal_date=moment))
    world.do(Unit(removals=(Removal(world.inbox, (Uid(2),)), Removal(world.inbox, (Uid(3),), hold=True))))
    listed = world.store.list_entries(world.inbox)
    table = world.store.read_table(world.inbox)
    assert list(table) == listed
    assert [entry.internal_date for entry in table] == [MOMENTS[place] for place in (0, 3, 4, 5)]
    assert [entry.flags for entry in table] == [flags[place % 3] for place in (0, 3, 4, 5)]
    assert list(world.store.read_table(world.inbox, 1, 2)) == listed[1:3]
    assert len(world.store.read_table(world.inbox, 6)) == 0
    assert len(world.store.read_table(GONE)) == 0
    assert world.store.get_changes(world.inbox, ModSeq(0)).changed == tuple(listed)


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 300_000])
def test_a_spooled_message_is_taken_over(world: World, size: int) -> None:
    writer = world.store.open_spool()
    writer.write(b"x" * size)
    body = writer.finish()
    result = world.do(Unit(filings=(Filing(NewContent(next_ref(), body, b"Head: 1\r\n"), (NewEntry(world.inbox),)),)))
    writer.discard()
    (stored,) = world.store.read_contents(result.contents)
    assert b"".join(stored.chunks(1000)) == b"Head: 1\r\n" + b"x" * size
    assert body.path is None or not body.path.exists()


def test_a_large_body_in_memory_is_stored_too(world: World) -> None:
    result = world.do(Unit(filings=(make_filing(world.inbox, data=b"y" * 200_000),)))
    (stored,) = world.store.read_contents(result.contents)
    assert b"".join(stored.chunks()) == b"y" * 200_000


def test_two_contents_may_share_a_spool_file(world: World) -> None:
    """A list's members get the same body under different trace lines."""
    writer = world.store.open_spool()
    writer.write(b"z" * 100_000)
    body = writer.finish()
    filings = tuple(
        Filing(NewContent(next_ref(), body, b"To: %d\r\n" % number), (NewEntry(world.inbox),)) for number in range(2)
    )
    result = world.do(Unit(filings=filings))
    texts = [b"".join(stored.chunks()) for stored in world.store.read_contents(result.contents)]
    assert texts == [b"To: 0\r\n" + b"z" * 100_000, b"To: 1\r\n" + b"z" * 100_000]


def test_one_content_in_several_mailboxes_is_shared(world: World) -> None:
    result = world.do(make_unit(world.inbox, world.trash))
    assert [filed.mailbox for filed in result.filed] == [world.inbox, world.trash]
    contents = {entry.content for box in (world.inbox, world.trash) for entry in world.store.list_entries(box)}
    assert contents == set(result.contents)


def test_a_unit_may_queue_and_record_without_filing(world: World) -> None:
    ref, now = next_ref(), LONG_AGO
    envelope = Envelope(None, (Recipient(Address("a", "elsewhere.test")),))
    result = world.do(
        Unit(
            filings=(Filing(NewContent(ref, make_body(b"x")), queued=(NewQueued(envelope, world.user),)),),
            journeys=(JourneyRecord(ref, now, "smtp", subject="s" * 2000 + "\0\ud800"),),
            steps=(JourneyStepRecord(ref, now, JourneyStep.QUEUED, "a@elsewhere.test", "\0" * 3000),),
            work=(NewWork("welcome", {"user": 1}),),
        )
    )
    assert len(result.contents) == 1
    assert result.filed == ()


def test_an_empty_unit_does_nothing(world: World) -> None:
    assert world.do(Unit()) == UnitResult()


def test_time_passes_between_filings(world: World, still_clock: StillClock) -> None:
    world.file()
    still_clock.advance(minutes=1)
    world.file()
    first, second = world.store.list_entries(world.inbox)
    assert second.saved - first.saved == timedelta(minutes=1)


def test_a_body_may_be_empty(world: World) -> None:
    body = Body(size=0, sha256=make_body(b"").sha256, data=b"")
    result = world.do(Unit(filings=(Filing(NewContent(next_ref(), body), (NewEntry(world.inbox),)),)))
    (stored,) = world.store.read_contents(result.contents)
    assert b"".join(stored.chunks()) == b""


# ---------------------------------------------------------------- UIDs and mod-sequences


def test_uids_rise_and_modseqs_rise_with_each_message(world: World) -> None:
    before = world.modseq()
    result = world.do(make_unit(world.inbox, count=3))
    assert [filed.uid for filed in result.filed] == [1, 2, 3]
    assert [filed.modseq for filed in result.filed] == [before + 1, before + 2, before + 3]
    mailbox = world.store.get_mailbox_by_id(world.inbox)
    assert (mailbox.uid_next, mailbox.modseq) == (4, before + 3)
    assert {filed.uid_validity for filed in result.filed} == {mailbox.uid_validity}


def test_a_uid_is_never_given_twice_not_even_the_highest(world: World) -> None:
    world.file(3)
    world.do(Unit(removals=(Removal(world.inbox, (Uid(3), Uid(2))),)))
    assert world.file() == [4]


@pytest.mark.parametrize(
    "unit",
    [
        lambda inbox, trash: make_unit(inbox),
        lambda inbox, trash: Unit(flag_changes=(FlagChange(inbox, (Uid(1),), add=frozenset({Flag.SEEN})),)),
        lambda inbox, trash: Unit(removals=(Removal(inbox, (Uid(1),)),)),
        lambda inbox, trash: Unit(removals=(Removal(inbox, (Uid(1),), hold=True),)),
        lambda inbox, trash: Unit(copies=(Copying(inbox, (Uid(1),), inbox),)),
        lambda inbox, trash: Unit(copies=(Copying(inbox, (Uid(1),), trash, move=True),)),
        lambda inbox, trash: Unit(copies=(Copying(trash, (Uid(1),), inbox),)),
    ],
    ids=["file", "flag", "expunge", "hold", "copy-here", "move-away", "copy-from-elsewhere"],
)
def test_every_change_raises_the_modseq_and_is_told(world: World, unit: Callable[[MailboxId, MailboxId], Unit]) -> None:
    world.do(make_unit(world.inbox, world.trash))
    before = world.modseq()
    world.do(unit(world.inbox, world.trash))
    changes = world.store.get_changes(world.inbox, before)
    assert world.modseq() == changes.modseq > before
    assert changes.changed or changes.vanished
    assert all(before < entry.modseq <= changes.modseq for entry in changes.changed)


def test_changes_tell_what_is_new_changed_and_gone_since(world: World) -> None:
    world.file(4)
    world.do(Unit(removals=(Removal(world.inbox, (Uid(1),)),)))
    since = world.modseq()
    world.do(Unit(removals=(Removal(world.inbox, (Uid(3),)),)))
    world.do(Unit(flag_changes=(FlagChange(world.inbox, (Uid(4),), add=frozenset({Flag.SEEN})),)))
    world.file()
    changes = world.store.get_changes(world.inbox, since)
    assert [entry.uid for entry in changes.changed] == [4, 5]
    assert changes.vanished == (3,)
    assert world.store.get_changes(world.inbox, ModSeq(0)).vanished == (1, 3)
    nothing = world.store.get_changes(world.inbox, changes.modseq)
    assert (nothing.changed, nothing.vanished) == ((), ())


def test_changes_of_a_mailbox_that_is_gone(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.store.get_changes(GONE, ModSeq(0)))


# ---------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"add": {Flag.SEEN}}, {"a", "b", Flag.SEEN}),
        ({"remove": {"a", "x"}}, {"b"}),
        ({"replace": {"c"}}, {"c"}),
        ({"replace": set()}, set()),
        ({"replace": {"c", "d"}, "remove": {"d"}, "add": {"e"}}, {"c", "e"}),
        ({"remove": {"a"}, "add": {"a"}}, {"a", "b"}),
    ],
)
def test_flags_are_set_added_and_removed(world: World, change: dict[str, set[str]], expected: set[str]) -> None:
    world.file(flags=frozenset({"a", "b"}))
    parts = {name: frozenset(flags) for name, flags in change.items()}
    world.do(Unit(flag_changes=(FlagChange(world.inbox, (Uid(1),), **parts),)))  # type: ignore[arg-type]
    assert world.flags() == expected


def test_a_flag_change_that_changes_nothing_leaves_the_modseq(world: World) -> None:
    world.file(flags=frozenset({Flag.SEEN}))
    before = world.modseq()
    world.do(Unit(flag_changes=(FlagChange(world.inbox, (Uid(1), Uid(7)), add=frozenset({Flag.SEEN})),)))
    assert world.modseq() == before


def test_unchanged_since_protects_what_has_changed_meanwhile(world: World) -> None:
    """RFC 7162 §3.1.3."""
    world.file(3)
    since = world.modseq()
    world.do(Unit(flag_changes=(FlagChange(world.inbox, (Uid(2),), add=frozenset({Flag.FLAGGED})),)))
    change = FlagChange(world.inbox, (Uid(1), Uid(2), Uid(3)), add=frozenset({Flag.DELETED}), unchanged_since=since)
    result = world.do(Unit(flag_changes=(change,)))
    assert result.not_changed == ((2,),)
    assert [Flag.DELETED in world.flags(uid) for uid in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize("flag", ["", "two words", "tab\t", "caf\u00e9", "nul\0"])
def test_a_flag_that_cannot_be_is_refused(world: World, flag: str) -> None:
    fails(Kind.FORBIDDEN, lambda: world.do(make_unit(world.inbox, flags=frozenset({flag}))))
    change = FlagChange(world.inbox, (Uid(1),), add=frozenset({flag}))
    fails(Kind.FORBIDDEN, lambda: world.do(Unit(flag_changes=(change,))))
    assert world.uids() == []


def test_many_entries_change_in_one_unit(world: World) -> None:
    """More than fit into one statement of SQLite, in one run and with gaps."""
    uids = world.file(1300)
    change = FlagChange(world.inbox, tuple(uids), add=frozenset({Flag.SEEN}))
    world.do(Unit(flag_changes=(change,)))
    assert world.store.count([world.inbox])[world.inbox].unseen == 0
    world.do(Unit(removals=(Removal(world.inbox, tuple(uids[::3])),)))
    assert world.uids() == [uid for uid in uids if uid not in uids[::3]]


# ---------------------------------------------------------------- copying and moving


def test_a_copy_shares_its_content_and_keeps_date_and_flags(world: World, still_clock: StillClock) -> None:
    world.do(make_unit(world.inbox, flags=frozenset({Flag.SEEN}), internal_date=LONG_AGO))
    still_clock.advance(minutes=5)
    result = world.do(Unit(copies=(Copying(world.inbox, (Uid(1),), world.trash),)))
    (source,) = world.store.list_entries(world.inbox)
    (copy,) = world.store.list_entries(world.trash)
    assert (copy.content, copy.flags, copy.internal_date) == (source.content, {Flag.SEEN}, LONG_AGO)
    assert copy.saved == still_clock() != source.saved
    (copied,) = result.copied
    assert (copied.source_uids, copied.target_uids) == ((1,), (1,))
    assert copied.uid_validity == world.store.get_mailbox_by_id(world.trash).uid_validity


def test_a_copy_without_meta_is_new(world: World, still_clock: StillClock) -> None:
    world.do(make_unit(world.inbox, flags=frozenset({Flag.SEEN}), internal_date=LONG_AGO))
    world.do(Unit(copies=(Copying(world.inbox, (Uid(1),), world.trash, keep_meta=False),)))
    (copy,) = world.store.list_entries(world.trash)
    assert (copy.flags, copy.internal_date) == (frozenset(), still_clock())


@pytest.mark.parametrize(
    ("rights", "kept"),
    [
        ("", set()),
        ("s", {Flag.SEEN}),
        ("t", {Flag.DELETED}),
        ("w", {Flag.FLAGGED, "$Forwarded"}),
        ("swt", {Flag.SEEN, Flag.DELETED, Flag.FLAGGED, "$Forwarded"}),
    ],
)
@pytest.mark.parametrize("move", [False, True])
def test_flags_that_may_not_be_set_stay_behind(world: World, rights: str, kept: set[str], move: bool) -> None:
    flags = frozenset({Flag.SEEN, Flag.DELETED, Flag.FLAGGED, "$Forwarded"})
    world.do(make_unit(world.inbox, flags=flags, internal_date=LONG_AGO))
    world.do(Unit(copies=(Copying(world.inbox, (Uid(1),), world.trash, move, flag_rights=frozenset(rights)),)))
    (copy,) = world.store.list_entries(world.trash)
    assert (copy.flags, copy.internal_date) == (kept, LONG_AGO)
    counts = world.store.count([world.trash])[world.trash]
    assert (counts.unseen, counts.deleted) == (int(Flag.SEEN not in kept), int(Flag.DELETED in kept))


def test_copies_come_in_the_order_asked_and_each_once(world: World) -> None:
    world.file(3)
    result = world.do(Unit(copies=(Copying(world.inbox, (Uid(3), Uid(1), Uid(9), Uid(3)), world.trash),)))
    assert result.copied[0].source_uids == (3, 1)
    assert result.copied[0].target_uids == (1, 2)


def test_a_move_takes_away_what_it_copied(world: World) -> None:
    world.file(3)
    before = world.modseq()
    world.do(Unit(copies=(Copying(world.inbox, (Uid(1), Uid(3)), world.trash, move=True),)))
    assert (world.uids(), world.uids(world.trash)) == ([2], [1, 2])
    assert world.store.get_changes(world.inbox, before).vanished == (1, 3)


@pytest.mark.parametrize(("move", "left"), [(False, [1, 2, 3, 4]), (True, [3, 4])])
def test_a_mailbox_may_be_copied_onto_itself(world: World, move: bool, left: list[int]) -> None:
    world.file(2)
    world.do(Unit(copies=(Copying(world.inbox, (Uid(1), Uid(2)), world.inbox, move=move),)))
    assert world.uids() == left


def test_parts_of_a_unit_see_those_before_them(world: World) -> None:
    """Filings, then flag changes, copies and removals; a UID that is only now given out may be named."""
    result = world.do(
        Unit(
            filings=(make_filing(world.inbox), make_filing(world.inbox)),
            flag_changes=(FlagChange(world.inbox, (Uid(1),), add=frozenset({Flag.SEEN})),),
            copies=(Copying(world.inbox, (Uid(1),), world.trash),),
            removals=(Removal(world.inbox, (Uid(1),)),),
        )
    )
    assert result.removed == ((1,),)
    assert world.uids() == [2]
    assert [entry.flags for entry in world.store.list_entries(world.trash)] == [{Flag.SEEN}]
    assert world.store.get_changes(world.inbox, ModSeq(0)).vanished == (1,)


# ---------------------------------------------------------------- removing


def test_removal_names_what_was_there(world: World) -> None:
    world.file(3)
    result = world.do(Unit(removals=(Removal(world.inbox, (Uid(2), Uid(8))), Removal(world.trash, (Uid(1),)))))
    assert result.removed == ((2,), ())
    assert world.uids() == [1, 3]


def test_held_messages_are_invisible_to_everything(world: World) -> None:
    """Spec services 3.2: stored, and shown to no client."""
    world.file(2)
    before = world.modseq()
    assert world.do(Unit(removals=(Removal(world.inbox, (Uid(1),), hold=True),))).removed == ((1,),)
    assert world.uids() == [2]
    assert world.store.count([world.inbox])[world.inbox].messages == 1
    changes = world.store.get_changes(world.inbox, before)
    assert (changes.changed, changes.vanished) == ((), (1,))
    again = world.do(
        Unit(
            flag_changes=(FlagChange(world.inbox, (Uid(1),), add=frozenset({Flag.SEEN})),),
            copies=(Copying(world.inbox, (Uid(1),), world.trash),),
            removals=(Removal(world.inbox, (Uid(1),)),),
        )
    )
    assert (again.removed, again.copied[0].source_uids) == (((),), ())


# ---------------------------------------------------------------- atomicity


def test_a_unit_with_a_mailbox_that_is_gone_leaves_no_trace(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.do(make_unit(world.inbox, GONE)))
    assert world.uids() == []
    assert world.file() == [1]


@pytest.mark.parametrize(
    "unit",
    [
        make_unit(GONE),
        Unit(flag_changes=(FlagChange(GONE, (Uid(1),)),)),
        Unit(copies=(Copying(GONE, (Uid(1),), GONE),)),
        Unit(removals=(Removal(GONE, (Uid(1),)),)),
    ],
    ids=["filing", "flags", "copy", "removal"],
)
def test_a_mailbox_that_is_gone_is_not_found(world: World, unit: Unit) -> None:
    fails(Kind.NOT_FOUND, lambda: world.do(unit))


def test_units_that_wait_together_succeed_and_fail_apart(world: World) -> None:
    units = [make_unit(world.inbox), make_unit(GONE), make_unit(world.inbox, GONE), make_unit(world.inbox)]
    futures = [world.store.submit(unit) for unit in units]
    errors = [future.exception(WAIT_SECONDS) for future in futures]
    assert [error is None for error in errors] == [True, False, False, True]
    assert world.uids() == [1, 2]


def test_a_failed_unit_leaves_the_spool_file_with_the_caller(world: World) -> None:
    writer = world.store.open_spool()
    writer.write(b"x" * 100_000)
    body = writer.finish()
    assert body.path is not None

    def unit(mailbox: MailboxId) -> Unit:
        return Unit(filings=(Filing(NewContent(next_ref(), body), (NewEntry(mailbox),)),))

    fails(Kind.NOT_FOUND, lambda: world.do(unit(GONE)))
    assert body.path.exists()
    world.do(unit(world.inbox))
    assert not body.path.exists()
