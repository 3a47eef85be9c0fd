# SPDX-License-Identifier: MIT
"""What every store promises about folders: subscriptions, access lists, annotations, usage, public folders.

RFC 9051 §6.3.7 (SUBSCRIBE), RFC 4314 (ACL), RFC 5464 (METADATA), RFC 9208 (QUOTA).
"""

from __future__ import annotations

import pytest

from mailserver.errors import Kind
from mailserver.store.folder_data import (
    MAX_ANNOTATION_BYTES,
    MAX_ANNOTATIONS,
    AccessEntry,
    Usage,
)
from mailserver.store.interface import Alteration, Removal, Unit
from mailserver.values import PUBLIC, Uid, UserId
from tests.contract.world import GONE, World, fails
from tests.support.filings import make_unit

pytestmark = pytest.mark.usefixtures("still_clock")
NOBODY = UserId(10**9)


# ---------------------------------------------------------------- subscriptions


def test_a_subscription_needs_no_folder(world: World) -> None:
    world.store.set_subscribed(world.user, "#users/anna/Projects", True)
    world.store.set_subscribed(world.user, "#users/anna/Projects", True)
    world.store.set_subscribed(world.user, "Trash", False)
    names = world.store.list_subscriptions(world.user)
    assert "#users/anna/Projects" in names
    assert "Trash" not in names
    assert "Trash" in world.store.list_subscriptions(world.new_user())


def test_a_subscription_outlives_its_folder(world: World) -> None:
    world.store.delete_mailbox(world.trash)
    assert "Trash" in world.store.list_subscriptions(world.user)


@pytest.mark.parametrize("name", ["", "a\tb", "x" * 401])
def test_what_no_folder_can_be_called_is_not_subscribed_to(world: World, name: str) -> None:
    fails(Kind.FORBIDDEN, lambda: world.store.set_subscribed(world.user, name, True))


def test_nobody_subscribes_to_nothing(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.store.set_subscribed(NOBODY, "INBOX", True))


# ---------------------------------------------------------------- usage


def test_usage_is_what_all_folders_hold(world: World) -> None:
    assert world.store.get_usage(world.user) == Usage(0, 0)
    world.do(make_unit(world.inbox, world.trash, count=2))
    size = world.store.list_entries(world.inbox)[0].size
    assert world.store.get_usage(world.user) == Usage(4, 4 * size)
    world.do(Unit(removals=(Removal(world.trash, (Uid(1),)), Removal(world.inbox, (Uid(1),), hold=True))))
    assert world.store.get_usage(world.user) == Usage(2, 2 * size)
    assert world.store.get_usage(world.new_user()) == Usage(0, 0)


# ---------------------------------------------------------------- access lists


def test_an_access_list_starts_empty(world: World) -> None:
    assert world.store.list_access([world.inbox, GONE]) == {}


def test_entries_replace_one_another_by_user_and_sign(world: World) -> None:
    anna = world.new_user()
    world.store.set_access(world.inbox, [AccessEntry(anna, "lr"), AccessEntry(None, "l"), AccessEntry(anna, "w", True)])
    world.store.set_access(world.inbox, [AccessEntry(anna, "lrs")])
    entries = (AccessEntry(None, "l"), AccessEntry(anna, "lrs"), AccessEntry(anna, "w", True))
    assert world.store.list_access([world.inbox, world.trash]) == {world.inbox: entries}
    world.store.set_access(world.inbox, [AccessEntry(anna, ""), AccessEntry(None, "")])
    assert world.store.list_access([world.inbox]) == {world.inbox: (AccessEntry(anna, "w", True),)}


def test_access_for_whom_or_to_what_is_not_there(world: World) -> None:
    fails(Kind.NOT_FOUND, lambda: world.store.set_access(GONE, [AccessEntry(None, "l")]))
    entries = [AccessEntry(None, "l"), AccessEntry(NOBODY, "l")]
    fails(Kind.NOT_FOUND, lambda: world.store.set_access(world.inbox, entries))
    assert world.store.list_access([world.inbox]) == {}


def test_what_others_have_granted(world: World) -> None:
    anna, ben = world.new_user(), world.new_user()
    world.store.set_access(world.inbox, [AccessEntry(anna, "lr")])
    world.store.set_access(world.trash, [AccessEntry(None, "l"), AccessEntry(ben, "r", True)])
    granted = {entry.mailbox.id: entry.entries for entry in world.store.list_granted(anna)}
    assert granted == {
        world.inbox: (AccessEntry(anna, "lr"),),
        world.trash: (AccessEntry(None, "l"), AccessEntry(ben, "r", True)),
    }
    assert [entry.mailbox.id for entry in world.store.list_granted(ben)] == [world.trash]
    assert world.store.list_granted(world.user) == []


def test_an_access_list_goes_with_its_mailbox(world: World) -> None:
    anna = world.new_user()
    world.store.set_access(world.trash, [AccessEntry(anna, "lr")])
    world.store.delete_mailbox(world.trash)
    assert world.store.list_granted(anna) == []


# ---------------------------------------------------------------- public folders


def test_public_folders_are_nobodys(world: World) -> None:
    made = world.store.create_mailbox(PUBLIC, "News")
    assert (made.user, made.name) == (PUBLIC, "News")
    assert world.store.get_mailbox(PUBLIC, "News").id == made.id
    assert made.id in {mailbox.id for mailbox in world.store.list_mailboxes(PUBLIC)}
    assert "News" not in {mailbox.name for mailbox in world.store.list_mailboxes(world.user)}
    fails(Kind.EXISTS, lambda: world.store.create_mailbox(PUBLIC, "News"))
    world.do(make_unit(made.id))
    assert len(world.store.list_entries(made.id)) == 1
    renamed = world.store.rename_mailbox(made.id, "Old/News")
    assert (renamed.user, renamed.name) == (PUBLIC, "Old/News")
    world.store.delete_mailbox(made.id)
    again = world.store.create_mailbox(PUBLIC, "Old/News")
    assert again.uid_validity > renamed.uid_validity


def test_granting_everybody_a_public_folder(world: World) -> None:
    made = world.store.create_mailbox(PUBLIC, "Notices")
    world.store.set_access(made.id, [AccessEntry(None, "lr")])
    assert [entry.mailbox.id for entry in world.store.list_granted(world.user)] == [made.id]


# ---------------------------------------------------------------- annotations


def test_shared_annotations_are_everybodys_private_ones_are_not(world: World) -> None:
    anna = world.new_user()
    world.store.set_annotations(world.user, world.inbox, {"/shared/comment": b"for all", "/private/comment": b"mine"})
    world.store.set_annotations(anna, world.inbox, {"/private/comment": b"\x00Anna's"})
    mine = world.store.read_annotations(world.user, [world.inbox, world.trash, None])
    assert mine == {
        world.inbox: {"/shared/comment": b"for all", "/private/comment": b"mine"},
        world.trash: {},
        None: {},
    }
    annas = world.store.read_annotations(anna, [world.inbox])[world.inbox]
    assert annas == {"/shared/comment": b"for all", "/private/comment": b"\x00Anna's"}


def test_the_server_has_annotations_too(world: World) -> None:
    world.store.set_annotations(world.user, None, {"/private/vendor/x": b"1"})
    world.store.set_annotations(world.user, None, {"/private/vendor/x": b"2", "/private/vendor/y": None})
    assert world.store.read_annotations(world.user, [None]) == {None: {"/private/vendor/x": b"2"}}
    world.store.set_annotations(world.user, None, {"/private/vendor/x": None})
    assert world.store.read_annotations(world.user, [None]) == {None: {}}


def test_annotations_have_limits_and_then_nothing_changes(world: World) -> None:
    too_big = b"x" * (MAX_ANNOTATION_BYTES + 1)
    fails(Kind.TOO_BIG, lambda: world.store.set_annotations(world.user, world.inbox, {"/shared/a": too_big}))
    many: dict[str, bytes | None] = {f"/shared/n{number}": b"" for number in range(MAX_ANNOTATIONS)}
    world.store.set_annotations(world.user, world.inbox, many)
    change = {"/shared/n1": b"changed", "/shared/more": b""}
    fails(Kind.LIMIT_REACHED, lambda: world.store.set_annotations(world.user, world.inbox, change))
    assert world.store.read_annotations(world.user, [world.inbox])[world.inbox] == many
    fails(Kind.NOT_FOUND, lambda: world.store.set_annotations(world.user, GONE, {"/shared/a": b""}))


def test_annotations_go_with_their_mailbox(world: World) -> None:
    world.store.set_annotations(world.user, world.trash, {"/shared/comment": b"x"})
    world.store.delete_mailbox(world.trash)
    again = world.store.create_mailbox(world.user, "Trash")
    assert world.store.read_annotations(world.user, [again.id]) == {again.id: {}}


# ---------------------------------------------------------------- locks


def test_no_more_than_so_many_share_the_lock(world: World) -> None:
    tokens = [world.store.lock_maildrop(world.user, number, exclusive=False, limit=2) for number in range(2)]
    fails(Kind.LIMIT_REACHED, lambda: world.store.lock_maildrop(world.user, 3, exclusive=False, limit=2))
    world.store.unlock_maildrop(tokens[0])
    world.store.lock_maildrop(world.user, 4, exclusive=False, limit=2)
    world.store.lock_maildrop(world.user, 5, exclusive=False)


# ---------------------------------------------------------------- pictures


def test_a_picture_has_all_that_concerns_the_user(world: World) -> None:
    store, other = world.store, world.new_user()
    world.file(2)
    shared = store.create_mailbox(other, "Shared")
    everybodys = store.create_mailbox(PUBLIC, "Notices")
    hidden = store.create_mailbox(PUBLIC, "Hidden")
    store.set_access(shared.id, [AccessEntry(world.user, "lr"), AccessEntry(other, "a", negative=True)])
    store.set_access(everybodys.id, [AccessEntry(None, "l")])
    picture = store.read_picture(world.user, public=False)
    own = store.list_mailboxes(world.user)
    assert picture.list_mailboxes(world.user) == own
    assert picture.get_mailbox(world.user, "inbox") == own[0]
    assert picture.get_mailbox(other, "Shared") == shared
    assert {granted.mailbox.id: granted for granted in picture.list_granted(world.user)} == {
        granted.mailbox.id: granted for granted in store.list_granted(world.user)
    }
    ids = [mailbox.id for mailbox in own] + [shared.id, everybodys.id]
    assert picture.list_access(ids) == store.list_access(ids)
    assert picture.count(ids) == store.count(ids)
    assert picture.list_subscriptions(world.user) == store.list_subscriptions(world.user)
    assert picture.modseqs().keys() == set(ids)
    fails(Kind.NOT_FOUND, lambda: picture.get_mailbox(other, "INBOX"))
    fails(Kind.NOT_FOUND, lambda: picture.get_mailbox(PUBLIC, "Hidden"))
    whole = store.read_picture(world.user, public=True)
    assert whole.list_mailboxes(PUBLIC) == [hidden, everybodys]


def test_a_picture_takes_in_what_is_written(world: World) -> None:
    picture = world.store.read_picture(world.user, public=False)
    told: list[Alteration] = []
    world.store.watch(told.extend)
    world.file(3)
    world.do(Unit(removals=(Removal(world.inbox, (Uid(2),)),)))
    for alteration in (*told, told[0]):
        picture.take(alteration)
    fresh = world.store.read_picture(world.user, public=False)
    assert picture.list_mailboxes(world.user) == fresh.list_mailboxes(world.user)
    assert picture.count([world.inbox]) == fresh.count([world.inbox])
