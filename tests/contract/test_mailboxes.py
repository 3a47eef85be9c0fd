# SPDX-License-Identifier: MIT
"""What every MailStore promises about mailboxes, their counts and who may use them.

RFC 9051 §6.3.4 to §6.3.6 (CREATE, DELETE, RENAME), §2.3.1.1 (UIDVALIDITY).
"""

from __future__ import annotations

import pytest

from mailserver.errors import Kind
from mailserver.store.interface import (
    Copying,
    FlagChange,
    MailboxCounts,
    Removal,
    Unit,
)
from mailserver.values import (
    SPECIAL_MAILBOXES,
    ContentId,
    Flag,
    SpecialUse,
    Uid,
    UserId,
)
from tests.contract.world import GONE, LONG_AGO, World, fails
from tests.support.filings import make_filing, make_unit
from tests.support.still_clock import StillClock

pytestmark = pytest.mark.usefixtures("still_clock")


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
    assert all(box.user == world.user for box in boxes)
    assert world.store.list_subscriptions(world.user) == {name for name, _ in SPECIAL_MAILBOXES}
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
