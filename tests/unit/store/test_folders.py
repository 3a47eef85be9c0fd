# SPDX-License-Identifier: MIT
"""Whose folders a user sees, and what he may do with them.

RFC 4314 §2 (rights), §4 (which right each command needs), §6 (nothing is told of what may not be looked up).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailserver.config.snapshot import Directory, User
from mailserver.errors import Kind, MailError
from mailserver.store.folder_data import AccessEntry
from mailserver.store.folders import AccessLine, Folders, shown_login
from mailserver.store.memory import MemoryStore
from mailserver.store.rights import ALL_RIGHTS, effective_rights, sort_rights
from mailserver.values import PUBLIC, Address, SpecialUse, UserId

ADMIN, ANNA, BEN, TWIN = UserId(1), UserId(2), UserId(3), UserId(4)


class Office:
    """An administrator, Anna, Ben, and another Anna at a second domain."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        people = ((ADMIN, "boss", "a.test"), (ANNA, "anna", "a.test"), (BEN, "ben", "a.test"), (TWIN, "anna", "b.test"))
        users = []
        for user, name, domain in people:
            inbox = self.store.add_user(user)
            users.append(User(user, name, Address(name, domain), inbox.id, admin=user == ADMIN))
        self.directory = Directory(("a.test", "b.test"), users)

    def of(self, user: UserId) -> Folders:
        return Folders(self.store, self.directory, user)


@pytest.fixture
def office() -> Office:
    return Office()


def fails(kind: Kind, action: Callable[[], object]) -> None:
    with pytest.raises(MailError) as caught:
        action()
    assert caught.value.kind is kind


# ---------------------------------------------------------------- rights


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("", ""), ("rl", "lr"), ("aelrswipkxt", ALL_RIGHTS), ("c", "kx"), ("d", "xte"), ("zr", "r"), ("rr", "r")],
)
def test_rights_have_an_order(letters: str, expected: str) -> None:
    assert sort_rights(letters) == expected


def test_a_list_adds_up_and_what_is_taken_wins() -> None:
    entries = [AccessEntry(None, "lr"), AccessEntry(ANNA, "sw"), AccessEntry(ANNA, "r", True), AccessEntry(BEN, "a")]
    assert effective_rights(entries, ANNA) == frozenset("lsw")
    assert effective_rights(entries, BEN) == frozenset("lra")
    assert effective_rights([*entries, AccessEntry(None, "a", True)], BEN) == frozenset("lr")


# ---------------------------------------------------------------- looking


def test_ones_own_folders_have_plain_names_and_all_rights(office: Office) -> None:
    folder = office.of(ANNA).find("inbox")
    assert (folder.shown_name, folder.owner, folder.rights) == ("INBOX", ANNA, frozenset(ALL_RIGHTS))
    assert [found.shown_name for found in office.of(ANNA).list_all()][:2] == ["INBOX", "Archive"]


def test_what_is_shared_is_below_its_owner(office: Office) -> None:
    office.of(ANNA).set_access("INBOX", "ben", "lrs")
    folder = office.of(BEN).find("#users/anna/Inbox")
    assert (folder.shown_name, folder.owner, folder.rights) == ("#users/anna/INBOX", ANNA, frozenset("lrs"))
    assert [found.shown_name for found in office.of(BEN).list_all()][-1] == "#users/anna/INBOX"
    assert office.of(BEN).is_parent("#users/anna")
    assert office.of(BEN).is_parent("#users/")
    assert not office.of(BEN).is_parent("#users/ben")
    assert not office.of(TWIN).is_parent("#users")


def test_users_of_one_name_are_told_apart_by_address(office: Office) -> None:
    assert shown_login(office.directory, ANNA) == "anna"
    assert shown_login(office.directory, TWIN) == "anna@b.test"
    office.of(TWIN).set_access("Sent", "anna", "lr")
    (shared,) = [found for found in office.of(ANNA).list_all() if found.owner == TWIN]
    assert shared.shown_name == "#users/anna@b.test/Sent"
    assert office.of(ANNA).find(shared.shown_name).mailbox == shared.mailbox


@pytest.mark.parametrize(
    "name", ["#users/anna/INBOX", "#users/nobody/INBOX", "#news/x", "#users", "#public/News", "None"]
)
def test_what_may_not_be_seen_is_not_there(office: Office, name: str) -> None:
    office.of(ADMIN).create("#public/News")
    fails(Kind.NOT_FOUND, lambda: office.of(BEN).open(name, "r"))


@pytest.mark.parametrize(
    ("given", "needed", "outcome"),
    [
        ("lr", "r", None),
        ("lr", "w", Kind.FORBIDDEN),
        ("r", "r", None),
        ("r", "w", Kind.NOT_FOUND),
        ("p", "lr", Kind.NOT_FOUND),
        ("lrs", "", None),
    ],
)
def test_opening_needs_rights(office: Office, given: str, needed: str, outcome: Kind | None) -> None:
    office.of(ANNA).set_access("INBOX", "anyone", given)
    if outcome is None:
        assert office.of(BEN).open("#users/anna/INBOX", needed).owner == ANNA
    else:
        fails(outcome, lambda: office.of(BEN).open("#users/anna/INBOX", needed))


def test_a_folder_without_lookup_is_not_listed(office: Office) -> None:
    office.of(ANNA).set_access("INBOX", "ben", "rp")
    assert all(found.owner == BEN for found in office.of(BEN).list_all())


# ---------------------------------------------------------------- public folders


def test_administrators_make_public_folders_and_say_who_sees_them(office: Office) -> None:
    boss = office.of(ADMIN)
    made = boss.create("#public/News/2026")
    assert (made.shown_name, made.owner, made.rights) == ("#public/News/2026", PUBLIC, frozenset(ALL_RIGHTS))
    fails(Kind.FORBIDDEN, lambda: office.of(ANNA).create("#public/Mine"))
    boss.set_access("#public/News", "anyone", "lr")
    assert [found.shown_name for found in office.of(ANNA).list_all()][-1] == "#public/News"
    assert [found.shown_name for found in boss.list_all()][-2:] == ["#public/News", "#public/News/2026"]


# ---------------------------------------------------------------- changing


def test_missing_levels_are_made_and_have_the_access_of_the_one_above(office: Office) -> None:
    office.of(ANNA).set_access("Archive", "ben", "lrk")
    made = office.of(BEN).create("#users/anna/Archive/a/b/")
    assert (made.shown_name, made.owner, made.rights) == ("#users/anna/Archive/a/b", ANNA, frozenset("lrk"))
    assert office.of(ANNA).find("Archive/a").rights == frozenset(ALL_RIGHTS)


def test_a_use_belongs_to_the_folder_that_was_asked_for(office: Office) -> None:
    made = office.of(ANNA).create("x/y", SpecialUse.SENT)
    assert made.mailbox.special_use is SpecialUse.SENT
    assert office.of(ANNA).find("x").mailbox.special_use is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Sent", Kind.EXISTS),
        ("INBOX", Kind.EXISTS),
        ("", Kind.FORBIDDEN),
        ("a//b", Kind.FORBIDDEN),
        ("#mine", Kind.FORBIDDEN),
        ("#users/nobody/x", Kind.FORBIDDEN),
        ("#users/anna/New", Kind.FORBIDDEN),
        ("#users/anna/Sent/New", Kind.FORBIDDEN),
        ("/".join("abcdefghijklmnopqrstu"), Kind.FORBIDDEN),
        ("x" * 256, Kind.FORBIDDEN),
    ],
)
def test_folders_that_cannot_be_made(office: Office, name: str, kind: Kind) -> None:
    fails(kind, lambda: office.of(BEN).create(name))


def test_deleting_needs_the_right_to(office: Office) -> None:
    office.of(ANNA).set_access("Archive", "ben", "lr")
    fails(Kind.FORBIDDEN, lambda: office.of(BEN).delete("#users/anna/Archive"))
    office.of(ANNA).add_access("Archive", "ben", "x")
    office.of(BEN).delete("#users/anna/Archive")
    fails(Kind.NOT_FOUND, lambda: office.of(ANNA).find("Archive"))
    fails(Kind.FORBIDDEN, lambda: office.of(ANNA).delete("INBOX"))


def test_renaming_stays_with_the_owner(office: Office) -> None:
    office.of(ANNA).set_access("Archive", "ben", "lrkx")
    fails(Kind.FORBIDDEN, lambda: office.of(BEN).rename("#users/anna/Archive", "Mine"))
    fails(Kind.FORBIDDEN, lambda: office.of(BEN).rename("#users/anna/Archive", "#users/anna/Top"))
    office.of(ANNA).create("Archive/old")
    renamed = office.of(BEN).rename("#users/anna/Archive/old", "#users/anna/Archive/new")
    assert renamed.shown_name == "#users/anna/Archive/new"
    assert office.of(ANNA).rename("Archive", "Attic").shown_name == "Attic"
    assert office.of(ANNA).find("Attic/new").owner == ANNA


def test_subscriptions_are_kept_as_names_are_shown(office: Office) -> None:
    anna = office.of(ANNA)
    for name in ("inbox/sub", "#users/BEN/Inbox", "#gone/x"):
        anna.set_subscribed(name, True)
    anna.set_subscribed("InBox", False)
    names = office.store.list_subscriptions(ANNA)
    assert {"INBOX/sub", "#users/ben/INBOX", "#gone/x"} <= names
    assert "INBOX" not in names


# ---------------------------------------------------------------- access lists


def test_an_access_list_starts_with_its_owner(office: Office) -> None:
    anna = office.of(ANNA)
    anna.set_access("Sent", "anna@b.test", "rl")
    anna.set_access("Sent", "-ben", "w")
    anna.set_access("Sent", "anyone", "l")
    assert anna.list_access("Sent") == [
        AccessLine("anna", ALL_RIGHTS),
        AccessLine("anyone", "l"),
        AccessLine("-ben", "w"),
        AccessLine("anna@b.test", "lr"),
    ]
    anna.remove_access("Sent", "anna@b.test", "r")
    anna.add_access("Sent", "anna@b.test", "c")
    assert AccessLine("anna@b.test", "lkx") in anna.list_access("Sent")
    anna.set_access("Sent", "anyone", "")
    assert "anyone" not in {line.identifier for line in anna.list_access("Sent")}


@pytest.mark.parametrize(
    ("identifier", "kind"), [("nobody", Kind.NOT_FOUND), ("anna", Kind.FORBIDDEN), ("-anna", Kind.FORBIDDEN)]
)
def test_identifiers_that_have_no_line(office: Office, identifier: str, kind: Kind) -> None:
    fails(kind, lambda: office.of(ANNA).set_access("Sent", identifier, "l"))


def test_only_who_may_administer_sees_or_changes_the_list(office: Office) -> None:
    office.of(ANNA).set_access("Sent", "ben", "lrw")
    fails(Kind.FORBIDDEN, lambda: office.of(BEN).list_access("#users/anna/Sent"))
    office.of(ANNA).add_access("Sent", "ben", "a")
    office.of(BEN).set_access("#users/anna/Sent", "anyone", "l")
    assert [line.identifier for line in office.of(BEN).list_access("#users/anna/Sent")] == ["anna", "anyone", "ben"]


@pytest.mark.parametrize(
    ("name", "identifier", "required"),
    [("Sent", "boss", ALL_RIGHTS), ("Sent", "ben", ""), ("Sent", "anyone", ""), ("#public/x", "boss", ALL_RIGHTS)],
)
def test_rights_that_nobody_can_take(office: Office, name: str, identifier: str, required: str) -> None:
    office.of(ADMIN).create("#public/x")
    assert office.of(ADMIN).required_rights(name, identifier) == required
