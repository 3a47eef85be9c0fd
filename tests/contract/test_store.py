# SPDX-License-Identifier: MIT
"""What every MailStore promises: the suite that the memory store and the database store both pass.

RFC 9051 §2.3.1.1 (UIDs), §6.3.4 to §6.3.6 (CREATE, DELETE, RENAME); RFC 7162 §3.1 (mod-sequences), §3.2.10 (VANISHED).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailserver.errors import Kind, MailError
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
from mailserver.store.interface import (
    Copying,
    Filing,
    FlagChange,
    MailboxCounts,
    MailStore,
    NewContent,
    NewEntry,
    NewQueued,
    NewWork,
    Removal,
    Unit,
    UnitResult,
)
from mailserver.store.memory import MemoryStore
from mailserver.values import (
    SPECIAL_MAILBOXES,
    Address,
    Body,
    ContentId,
    Envelope,
    Flag,
    MailboxId,
    ModSeq,
    Recipient,
    SpecialUse,
    Uid,
    UserId,
)
from tests.support.filings import WAIT_SECONDS, make_body, make_filing, make_unit
from tests.support.still_clock import StillClock
from tests.support.stores import make_process, make_user, open_database_store

pytestmark = pytest.mark.usefixtures("still_clock")
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
GONE = MailboxId(10**9)


@dataclass(slots=True)
class World:
    """A store, a user in it, and how another one comes to be."""

    store: MailStore
    user: UserId
    new_user: Callable[[], UserId]

    @property
    def inbox(self) -> MailboxId:
        return self.store.get_mailbox(self.user, "INBOX").id

    @property
    def trash(self) -> MailboxId:
        return self.store.get_mailbox(self.user, "Trash").id

    def do(self, unit: Unit) -> UnitResult:
        return self.store.submit(unit).result(WAIT_SECONDS)

    def file(self, count: int = 1, *, flags: frozenset[str] = frozenset()) -> list[Uid]:
        """So many messages in the Inbox."""
        return [filed.uid for filed in self.do(make_unit(self.inbox, count=count, flags=flags)).filed]

    def uids(self, mailbox: MailboxId | None = None) -> list[int]:
        return [entry.uid for entry in self.store.list_entries(mailbox or self.inbox)]

    def flags(self, uid: int = 1) -> frozenset[str]:
        return next(entry.flags for entry in self.store.list_entries(self.inbox) if entry.uid == uid)

    def modseq(self) -> ModSeq:
        return self.store.get_mailbox_by_id(self.inbox).modseq


DATABASE = pytest.param("database", marks=[pytest.mark.django_db(transaction=True), pytest.mark.database])


@pytest.fixture(params=["memory", DATABASE])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        memory = MemoryStore(tmp_path / "spool")
        numbers = iter(range(1, 100))

        def new_user() -> UserId:
            user = UserId(next(numbers))
            memory.add_user(user)
            return user

        yield World(memory, new_user(), new_user)
        return
    request.getfixturevalue("transactional_db")
    store = open_database_store(tmp_path, make_process())
    yield World(store, make_user(), make_user)
    store.close()


def fails(kind: Kind, action: Callable[[], object]) -> None:
    with pytest.raises(MailError) as caught:
        action()
    assert caught.value.kind is kind


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


# ---------------------------------------------------------------- counting and listing


def test_counts_follow_every_kind_of_change(world: World) -> None:
    data = b"x" * 100
    world.do(Unit(filings=tuple(make_filing(world.inbox, data=data) for _ in range(4))))
    seen, deleted = frozenset({Flag.SEEN}), frozenset({Flag.DELETED})
    world.do(
        Unit(
            flag_changes=(
                FlagChange(world.inbox, (Uid(1), Uid(2)), add=seen),
                FlagChange(world.inbox, (Uid(2), Uid(3)), add=deleted),
                FlagChange(world.inbox, (Uid(1),), remove=seen),
            ),
            copies=(Copying(world.inbox, (Uid(2), Uid(3)), world.trash),),
            removals=(Removal(world.inbox, (Uid(3),)), Removal(world.inbox, (Uid(4),), hold=True)),
        )
    )
    assert world.store.count([world.inbox, world.trash, GONE]) == {
        world.inbox: MailboxCounts(messages=2, unseen=1, deleted=1, size=200),
        world.trash: MailboxCounts(messages=2, unseen=1, deleted=2, size=200),
    }


def test_entries_are_listed_in_pages(world: World) -> None:
    world.file(5)
    assert [entry.uid for entry in world.store.list_entries(world.inbox, after_uid=2)] == [3, 4, 5]
    assert [entry.uid for entry in world.store.list_entries(world.inbox, after_uid=1, limit=2)] == [2, 3]
    assert world.store.list_entries(GONE) == []


def test_contents_come_in_the_order_asked(world: World) -> None:
    first, second, third = world.do(make_unit(world.inbox, count=3)).contents
    wanted = [third, ContentId(10**9), first, third]
    assert [content.id for content in world.store.read_contents(wanted)] == [third, first, third]
    assert world.store.read_contents([]) == []
    assert set(world.store.read_fields([second, ContentId(10**9)])) == {second}


# ---------------------------------------------------------------- mailboxes


def test_a_new_user_has_the_special_mailboxes_inbox_first(world: World) -> None:
    boxes = world.store.list_mailboxes(world.user)
    assert boxes[0].name == "INBOX"
    assert [box.name for box in boxes[1:]] == sorted(name for name, _ in SPECIAL_MAILBOXES if name != "INBOX")
    assert {box.name: box.special_use for box in boxes} == dict(SPECIAL_MAILBOXES)
    assert all(box.subscribed and box.user == world.user for box in boxes)
    assert world.store.list_mailboxes(UserId(10**9)) == []


@pytest.mark.parametrize("name", ["inbox", "InBox", "INBOX"])
def test_the_inbox_is_found_in_any_case(world: World, name: str) -> None:
    assert world.store.get_mailbox(world.user, name).special_use is SpecialUse.INBOX


def test_other_names_are_as_they_are_written(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.store.get_mailbox(world.user, "trash"))
    made = world.store.create_mailbox(world.user, "Caf\u00e9/\u65e5\u672c")
    assert world.store.get_mailbox(world.user, "Caf\u00e9/\u65e5\u672c") == made
    assert world.store.get_mailbox_by_id(made.id) == made
    fails(Kind.NOT_FOUND, lambda: world.store.get_mailbox_by_id(GONE))


@pytest.mark.parametrize("name", ["Trash", "inbox"])
def test_a_name_is_taken_once_by_each_user(world: World, name: str) -> None:
    fails(Kind.EXISTS, lambda: world.store.create_mailbox(world.user, name))
    assert world.store.create_mailbox(world.new_user(), "Projects").name == "Projects"
    assert world.store.create_mailbox(world.user, "Projects").name == "Projects"


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "a\0b", "a\nb", "x" * 256])
def test_names_that_cannot_be(world: World, name: str) -> None:
    fails(Kind.FORBIDDEN, lambda: world.store.create_mailbox(world.user, name))
    fails(Kind.FORBIDDEN, lambda: world.store.rename_mailbox(world.trash, name))


def test_no_mailbox_for_a_user_who_is_gone(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.store.create_mailbox(UserId(10**9), "Projects"))


def test_subscription_is_remembered(world: World) -> None:
    world.store.set_subscribed(world.trash, False)
    assert not world.store.get_mailbox(world.user, "Trash").subscribed
    fails(Kind.NOT_FOUND, lambda: world.store.set_subscribed(GONE, True))


def test_deleting_takes_the_entries_along(world: World) -> None:
    trash = world.trash
    world.do(make_unit(trash))
    world.store.delete_mailbox(trash)
    fails(Kind.NOT_FOUND, lambda: world.store.get_mailbox(world.user, "Trash"))
    assert world.store.list_entries(trash) == []
    fails(Kind.NOT_FOUND, lambda: world.store.delete_mailbox(trash))
    fails(Kind.NOT_FOUND, lambda: world.do(make_unit(trash)))


def test_the_inbox_cannot_be_deleted(world: World) -> None:
    fails(Kind.FORBIDDEN, lambda: world.store.delete_mailbox(world.inbox))


def test_a_name_made_again_has_a_greater_uid_validity_within_a_second(world: World) -> None:
    """RFC 9051 §2.3.1.1: a UID with its UIDVALIDITY names one message for ever."""
    seen = []
    for _ in range(3):
        made = world.store.create_mailbox(world.user, "Again")
        seen.append(made.uid_validity)
        world.store.delete_mailbox(made.id)
    assert seen == sorted(set(seen))


def test_uid_validity_fits_32_bits_and_is_the_time(world: World, still_clock: StillClock) -> None:
    made = world.store.create_mailbox(world.user, "New")
    assert made.uid_validity == int(still_clock().timestamp()) < 2**32


def test_renaming_takes_along_what_is_below(world: World) -> None:
    for name in ("A", "A/B", "A/B/C", "AB", "Z/A"):
        world.store.create_mailbox(world.user, name)
    before = world.store.get_mailbox(world.user, "A/B")
    world.do(make_unit(before.id))
    renamed = world.store.rename_mailbox(world.store.get_mailbox(world.user, "A").id, "X/Y")
    assert renamed.name == "X/Y"
    names = {box.name for box in world.store.list_mailboxes(world.user)} - {name for name, _ in SPECIAL_MAILBOXES}
    assert names == {"X/Y", "X/Y/B", "X/Y/B/C", "AB", "Z/A"}
    after = world.store.get_mailbox(world.user, "X/Y/B")
    assert (after.id, after.uid_validity, after.uid_next) == (before.id, before.uid_validity, 2)


def test_renaming_one_level_up_into_its_parents_name(world: World) -> None:
    for name in ("A/A", "A/A/A"):
        world.store.create_mailbox(world.user, name)
    world.store.rename_mailbox(world.store.get_mailbox(world.user, "A/A").id, "A")
    names = [box.name for box in world.store.list_mailboxes(world.user)]
    assert [name for name in names if name[:2] in ("A", "A/")] == ["A", "A/A"]


@pytest.mark.parametrize("name", ["Trash", "Sent", "inbox", "P"])
def test_renaming_onto_a_name_that_is_there(world: World, name: str) -> None:
    for made in ("P", "Q", "Q/R"):
        world.store.create_mailbox(world.user, made)
    fails(Kind.EXISTS, lambda: world.store.rename_mailbox(world.trash, name))


def test_renaming_when_a_childs_new_name_is_there(world: World) -> None:
    for name in ("A", "A/B", "C/B"):
        world.store.create_mailbox(world.user, name)
    mailbox = world.store.get_mailbox(world.user, "A").id
    fails(Kind.EXISTS, lambda: world.store.rename_mailbox(mailbox, "C"))
    assert world.store.get_mailbox(world.user, "A").id == mailbox


def test_a_mailbox_cannot_go_below_itself_nor_its_children_past_the_longest_name(world: World) -> None:
    mailbox = world.store.create_mailbox(world.user, "A").id
    world.store.create_mailbox(world.user, "A/" + "b" * 200)
    fails(Kind.FORBIDDEN, lambda: world.store.rename_mailbox(mailbox, "A/B"))
    fails(Kind.FORBIDDEN, lambda: world.store.rename_mailbox(mailbox, "c" * 100))
    fails(Kind.NOT_FOUND, lambda: world.store.rename_mailbox(GONE, "B"))


def test_renaming_to_a_name_given_up_raises_the_uid_validity(world: World) -> None:
    """Two mailboxes made in one second have the same value; a client's cache of the old one must not fit the new."""
    old = world.store.create_mailbox(world.user, "Old")
    new = world.store.create_mailbox(world.user, "New")
    assert old.uid_validity == new.uid_validity
    world.store.delete_mailbox(old.id)
    assert world.store.rename_mailbox(new.id, "Old").uid_validity > old.uid_validity
    back = world.store.rename_mailbox(new.id, "New")
    assert back.uid_validity > new.uid_validity


def test_renaming_the_inbox_moves_its_messages_out(world: World) -> None:
    """RFC 9051 §6.3.6: the Inbox stays, empty; what is below it keeps its name."""
    world.store.create_mailbox(world.user, "INBOX/Sub")
    world.do(make_unit(world.inbox, count=2, flags=frozenset({Flag.SEEN}), internal_date=LONG_AGO))
    inbox = world.store.get_mailbox(world.user, "INBOX")
    target = world.store.rename_mailbox(inbox.id, "Old mail")
    assert (target.name, target.special_use) == ("Old mail", None)
    moved = world.store.list_entries(target.id)
    assert [(entry.flags, entry.internal_date) for entry in moved] == [({Flag.SEEN}, LONG_AGO)] * 2
    after = world.store.get_mailbox(world.user, "INBOX")
    assert (after.id, after.uid_validity, after.special_use) == (inbox.id, inbox.uid_validity, SpecialUse.INBOX)
    assert world.uids() == []
    assert world.store.get_changes(inbox.id, inbox.modseq).vanished == (1, 2)
    assert world.file() == [3]
    assert world.store.get_mailbox(world.user, "inbox/Sub").name == "INBOX/Sub"


def test_renaming_the_inbox_onto_a_name_that_is_there_moves_nothing(world: World) -> None:
    world.file()
    fails(Kind.EXISTS, lambda: world.store.rename_mailbox(world.inbox, "Trash"))
    assert world.uids() == [1]


# ---------------------------------------------------------------- maildrop locks


def test_pop3_has_the_maildrop_alone(world: World) -> None:
    token = world.store.lock_maildrop(world.user, 1, exclusive=True)
    fails(Kind.IN_USE, lambda: world.store.lock_maildrop(world.user, 2, exclusive=True))
    fails(Kind.IN_USE, lambda: world.store.lock_maildrop(world.user, 3, exclusive=False))
    other = world.store.lock_maildrop(world.new_user(), 4, exclusive=True)
    world.store.unlock_maildrop(token)
    world.store.unlock_maildrop(token)
    world.store.unlock_maildrop(other)
    world.store.unlock_maildrop(world.store.lock_maildrop(world.user, 5, exclusive=True))


def test_imap4_sessions_share_the_maildrop(world: World) -> None:
    tokens = [world.store.lock_maildrop(world.user, number, exclusive=False) for number in range(2)]
    for token in tokens:
        fails(Kind.IN_USE, lambda: world.store.lock_maildrop(world.user, 9, exclusive=True))
        world.store.unlock_maildrop(token)
    world.store.lock_maildrop(world.user, 9, exclusive=True)


def test_no_lock_for_a_user_who_is_gone(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.store.lock_maildrop(UserId(10**9), 1, exclusive=True))


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
