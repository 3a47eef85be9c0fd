# SPDX-License-Identifier: MIT
"""Sharing folders, public ones, and hidden capabilities on screen."""

from __future__ import annotations

import pytest
from django.test import Client

from mailserver.config.building import build_snapshot
from mailserver.store import folder_rows
from mailserver.store.folder_data import AccessEntry
from mailserver.store.models import Mailbox
from mailserver.users.models import User
from mailserver.values import MailboxId, UserId
from tests.service.console.forms import read_form

pytestmark = [pytest.mark.django_db, pytest.mark.database]
MAILBOXES, HIDING = "/admin/store/mailbox/", "/admin/config/capabilityhiding/"


def change(browser: Client, mailbox: Mailbox, **fields: str) -> object:
    """Send the page's form with these fields of its list of people."""
    page = f"{MAILBOXES}{mailbox.pk}/change/"
    form = read_form(browser, page, "mailbox_form")
    return browser.post(page, form | {f"access-{name}": [value] for name, value in fields.items()})


def access(mailbox: Mailbox) -> tuple[AccessEntry, ...]:
    return folder_rows.list_access([MailboxId(mailbox.pk)]).get(MailboxId(mailbox.pk), ())


@pytest.fixture
def archive(anna: User) -> Mailbox:
    return Mailbox.objects.get(user=anna, name="Archive")


@pytest.fixture
def boss() -> UserId:
    return UserId(User.objects.get(name="postmaster").pk)


def test_a_folder_is_shared_and_no_longer(browser: Client, archive: Mailbox, boss: UserId) -> None:
    change(browser, archive, TOTAL_FORMS="2", **{"0-user": str(boss), "0-rights": "lrs", "1-rights": "lrsip"})
    assert access(archive) == (AccessEntry(None, "lrsip"), AccessEntry(boss, "lrs"))
    page = browser.get(f"{MAILBOXES}{archive.pk}/change/").content.decode()
    assert "Read, and file new messages" in page
    change(browser, archive, **{"0-DELETE": "on"})
    assert len(access(archive)) == 1


def test_rights_that_a_mail_program_has_set_stay(browser: Client, archive: Mailbox, boss: UserId) -> None:
    entries = (AccessEntry(None, "w", True), AccessEntry(boss, "lrw"))
    folder_rows.set_access(MailboxId(archive.pk), entries)
    assert "As a mail program has set it: lrw" in browser.get(f"{MAILBOXES}{archive.pk}/change/").content.decode()
    change(browser, archive)
    assert access(archive) == entries


def test_who_owns_a_folder_is_not_put_into_its_list(browser: Client, archive: Mailbox, anna: User) -> None:
    response = change(browser, archive, TOTAL_FORMS="1", **{"0-user": str(anna.pk), "0-rights": "lrs"})
    assert "The owner may do everything already." in response.content.decode()  # type: ignore[attr-defined]
    assert access(archive) == ()


def test_a_public_folder_is_made_and_deleted(browser: Client) -> None:
    response = browser.post(f"{MAILBOXES}add/", {"name": "News/2026"})
    made = Mailbox.objects.get(name="News/2026")
    assert (made.user, response["Location"]) == (None, f"{MAILBOXES}{made.pk}/change/")
    assert "Public" in browser.get(MAILBOXES).content.decode()
    assert browser.post(f"{MAILBOXES}{made.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Mailbox.objects.filter(pk=made.pk).exists()


@pytest.mark.parametrize("name", ["a//b", ""])
def test_a_public_folder_needs_a_name(browser: Client, name: str) -> None:
    assert browser.post(f"{MAILBOXES}add/", {"name": name}).status_code == 200
    assert not Mailbox.objects.filter(user=None).exists()


def test_users_folders_are_not_deleted_here(browser: Client, archive: Mailbox) -> None:
    assert browser.post(f"{MAILBOXES}{archive.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Mailbox.objects.filter(pk=archive.pk).exists()


def test_a_capability_is_hidden_and_shown_again(browser: Client, anna: User) -> None:
    browser.post(f"{HIDING}add/", {"capabilities": "condstore  qresync", "client": "Outlook", "user": anna.pk})
    browser.post(f"{HIDING}add/", {"capabilities": "IDLE", "client": "", "user": ""})
    snapshot = build_snapshot()
    assert snapshot.hidden_from(UserId(anna.pk), "Microsoft outlook 16") == {"CONDSTORE", "QRESYNC", "IDLE"}
    assert snapshot.hidden_from(UserId(anna.pk), "Thunderbird") == {"IDLE"}
    assert snapshot.hidden_from(None, "Outlook") == {"IDLE"}
    first = snapshot.hidden_capabilities[0]
    assert first.client == "Outlook"
    hiding = browser.get(HIDING).context["cl"].result_list[1]
    browser.post(f"{HIDING}{hiding.pk}/change/", {"capabilities": "NOTIFY", "client": "", "user": "", "comment": "x"})
    assert build_snapshot().hidden_from(None, "") == {"NOTIFY"}
    browser.post(f"{HIDING}{hiding.pk}/delete/", {"post": "yes"})
    assert build_snapshot().hidden_from(None, "") == frozenset()


@pytest.mark.parametrize("words", ["", "ID\tLE", "IMAP4rev1 IDLE"])
def test_what_cannot_be_hidden_is_said(browser: Client, words: str) -> None:
    response = browser.post(f"{HIDING}add/", {"capabilities": words, "client": "", "user": ""})
    assert response.context["adminform"].form.errors["capabilities"]
    assert build_snapshot().hidden_capabilities == ()
