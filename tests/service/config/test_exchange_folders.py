# SPDX-License-Identifier: MIT
"""Hidden capabilities, public folders and shared folders in the configuration file."""

from __future__ import annotations

import pytest

from mailserver.config.building import build_snapshot
from mailserver.config.exchange.document import format_json, format_yaml
from mailserver.config.exchange.exporting import export_config
from mailserver.config.exchange.importing import import_config
from mailserver.config.models import CapabilityHiding
from mailserver.config.services import current_revision, first_run, hide_capabilities, show_capabilities
from mailserver.errors import InvalidInput
from mailserver.project.environment import read_environment
from mailserver.store.folder_data import AccessEntry
from mailserver.store.mailboxes import delete_mailbox
from mailserver.store.models import Mailbox
from mailserver.store.services import list_public_folders, list_shared_folders
from mailserver.users.services import NO_PASSWORD, User, create_user, delete_user
from mailserver.values import PUBLIC, MailboxId, UserId

pytestmark = [pytest.mark.django_db, pytest.mark.database]

HIDDEN = """
hidden_capabilities:
  - {capabilities: [condstore, QRESYNC], program: Outlook 16, comment: resync storms}
  - {capabilities: [IDLE], user: alice@example.test}
"""

FOLDERS = """
public_folders:
  - name: News/2026
    access:
      - {who: anyone, rights: srl}
      - {who: alice@example.test, rights: lrswipte}
      - {who: bob, rights: s, negative: yes}
  - name: Archive
shared_folders:
  - owner: alice@example.test
    name: inbox
    access: [{who: bob@example.test, rights: lr}]
  - owner: alice
    name: Projects/Bridge
    access: [{who: ANYONE, rights: l}]
"""


@pytest.fixture(autouse=True)
def people() -> list[User]:
    """A fresh installation with alice and bob."""
    first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))
    return [create_user(name, NO_PASSWORD) for name in ("alice", "bob")]


def complaints(text: str) -> dict[str, list[str]]:
    with pytest.raises(InvalidInput) as caught:
        import_config(text)
    return caught.value.messages


# ---------------------------------------------------------------- hidden capabilities


def test_hidden_capabilities(people: list[User]) -> None:
    revision = current_revision()
    result = import_config(HIDDEN)
    assert (result.added, result.changed) == ({"hidden_capabilities": 2}, {})
    snapshot = build_snapshot()
    alice, bob = (UserId(user.pk) for user in people)
    assert snapshot.hidden_from(alice, "Microsoft Outlook 16.0") == {"CONDSTORE", "QRESYNC", "IDLE"}
    assert snapshot.hidden_from(bob, "Thunderbird") == frozenset()
    assert current_revision() > revision


def test_hidden_capabilities_are_found_by_program_and_user() -> None:
    import_config(HIDDEN)
    result = import_config("hidden_capabilities: [{program: Outlook 16, capabilities: [ESEARCH]}]")
    assert (result.added, result.changed) == ({}, {"hidden_capabilities": 1})
    assert [row.capabilities for row in CapabilityHiding.objects.order_by("pk")] == ["ESEARCH", "IDLE"]


def test_two_exceptions_of_one_program_stay_two() -> None:
    hide_capabilities("IDLE", client="Mail")
    hide_capabilities("NOTIFY", client="Mail")
    exported = format_yaml(export_config())
    result = import_config(exported)
    assert result.changed["hidden_capabilities"] == 2
    assert [row.capabilities for row in CapabilityHiding.objects.order_by("pk")] == ["IDLE", "NOTIFY"]


# ---------------------------------------------------------------- folders


def test_folders_and_who_may_use_them(people: list[User]) -> None:
    alice, bob = (UserId(user.pk) for user in people)
    result = import_config(FOLDERS)
    assert result.added == {"public_folders": 2, "shared_folders": 1}
    assert result.changed == {"shared_folders": 1}
    assert [(mailbox.name, entries) for mailbox, entries in list_public_folders()] == [
        ("Archive", ()),
        ("News", ()),
        (
            "News/2026",
            (
                AccessEntry(None, "lrs", False),
                AccessEntry(alice, "lrswipte", False),
                AccessEntry(bob, "s", True),
            ),
        ),
    ]
    assert [(mailbox.user, mailbox.name, entries) for mailbox, entries in list_shared_folders()] == [
        (alice, "INBOX", (AccessEntry(bob, "lr", False),)),
        (alice, "Projects/Bridge", (AccessEntry(None, "l", False),)),
    ]


def test_a_list_is_replaced_and_a_folder_without_one_keeps_it() -> None:
    import_config(FOLDERS)
    result = import_config(
        "public_folders: [{name: News/2026}, {name: Archive, access: [{who: anyone, rights: l}]}]\n"
        "shared_folders: [{owner: alice, name: INBOX, access: []}]"
    )
    assert (result.added, result.changed) == ({}, {"public_folders": 2, "shared_folders": 1})
    exported = export_config()
    assert [len(folder["access"]) for folder in exported["public_folders"]] == [1, 0, 3]
    assert [folder["name"] for folder in exported["shared_folders"]] == ["Projects/Bridge"]


@pytest.mark.parametrize("write", [format_yaml, format_json])
def test_round_trip(people: list[User], write: object) -> None:
    assert callable(write)
    import_config(HIDDEN + FOLDERS)
    exported = export_config()
    for row in CapabilityHiding.objects.all():
        show_capabilities(row.pk)
    for mailbox in Mailbox.objects.filter(user=None):
        delete_mailbox(MailboxId(mailbox.pk))
    create_user("carol", NO_PASSWORD, is_admin=True)
    for user in people:
        delete_user(user.pk)
    assert not list_public_folders() + list_shared_folders()
    import_config(write(exported))
    again = export_config()
    for section in ("hidden_capabilities", "public_folders", "shared_folders"):
        assert again[section] == exported[section]
        assert again[section]


def test_folders_of_users_in_the_same_file() -> None:
    result = import_config(
        "shared_folders: [{owner: dora, name: INBOX, access: [{who: erik, rights: lr}]}]\n"
        "hidden_capabilities: [{user: dora, capabilities: [IDLE]}]\n"
        "users: [{name: dora}, {name: erik}]"
    )
    assert result.added == {"users": 2, "hidden_capabilities": 1}
    assert result.changed == {"shared_folders": 1}


def test_each_wrong_line_is_named_and_nothing_changes() -> None:
    before, revision, folders = export_config(), current_revision(), Mailbox.objects.count()
    text = """\
hidden_capabilities:
  - program: x
  - {capabilities: [IMAP4rev1]}
  - {capabilities: [IDLE], user: ghost}
  - capabilities: [IDLE]
    program: %s
  - {capabilities: [IDLE], colour: red}
public_folders:
  - access: []
  - {name: a//b}
  - name: Fine
    access:
      - {rights: l}
      - {who: ghost, rights: l}
      - {who: alice, rights: lq}
      - {who: bob}
      - {who: anyone, rights: l, negative: perhaps}
  - name: Fine
  - name: Twice
    access:
      [{who: alice, rights: l}, {who: alice@example.test, rights: r}]
shared_folders:
  - {owner: ghost, name: INBOX}
  - {name: INBOX}
  - {owner: alice}
  - owner: alice
    name: INBOX
    access: [{who: alice, rights: l}]
""" % ("x" * 200)
    found = complaints(text)
    lines = (2, 3, 4, 6, 7, 9, 10, 13, 14, 15, 16, 17, 18, 21, 23, 24, 25, 28)
    assert list(found) == [f"line {line}" for line in lines]
    assert "ghost" in found["line 14"][0]
    assert "lrswipkxtea" in found["line 15"][0]
    assert export_config() == before
    assert (current_revision(), Mailbox.objects.count()) == (revision, folders)


def test_a_public_folder_may_be_called_inbox() -> None:
    import_config("public_folders: [{name: inbox}]")
    assert [mailbox.name for mailbox, _ in list_public_folders()] == ["INBOX"]
    assert all(mailbox.user == PUBLIC for mailbox, _ in list_public_folders())
