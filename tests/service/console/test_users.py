# SPDX-License-Identifier: MIT
"""Users on screen: added, changed and deleted by the rules, with each refusal at the field it is about."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from mailserver.addressing.services import add_domain
from mailserver.config.catalog import MAIN_ADMINISTRATOR, MIN_PASSWORD_LENGTH
from mailserver.config.services import current_revision, set_setting
from mailserver.store.models import Mailbox
from mailserver.users.models import User
from mailserver.users.services import create_user, find_user
from mailserver.values import Protocol
from mailserver.work.models import WorkItem
from tests.service.console.conftest import PASSWORD
from tests.service.console.forms import messages_of, read_form

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LIST, ADD = "/admin/users/user/", "/admin/users/user/add/"


def page_of(user: User) -> str:
    return f"/admin/users/user/{user.pk}/change/"


def new_user_form(browser: Client, **changes: str) -> dict[str, object]:
    form: dict[str, object] = dict(read_form(browser, ADD, "user_form"))
    return {**form, "name": "bert", "password": PASSWORD, "password_again": PASSWORD, **changes}


def errors_of(response: object) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors)  # type: ignore[attr-defined]


def test_a_user_is_added_with_everything_on_the_form(browser: Client) -> None:
    before = current_revision()
    form = new_user_form(browser, full_name="Bert Brown", comments="Workshop", max_outgoing_bytes="1000")
    assert browser.post(ADD, form).status_code == 302
    user = find_user("bert")
    assert user is not None
    assert (user.address, user.full_name, user.comments) == ("bert@example.test", "Bert Brown", "Workshop")
    assert user.max_outgoing_bytes == 1000
    assert sorted(user.allowed_protocols) == sorted(protocol.value for protocol in Protocol)
    assert Mailbox.objects.filter(user=user).count() == 6
    assert current_revision() > before
    assert LogEntry.objects.filter(object_id=str(user.pk)).exists(), "the history says who did it"


@pytest.mark.parametrize("wanted", [True, False])
def test_the_welcome_message_is_a_tick(browser: Client, wanted: bool) -> None:
    form = new_user_form(browser)
    assert form["send_welcome"] == ["on"]
    if not wanted:
        del form["send_welcome"]
    browser.post(ADD, form)
    assert WorkItem.objects.filter(kind="welcome").exists() is wanted


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": "ann b"}, "name", "Use 1 to 32 letters"),
        ({"name": "postmaster"}, "__all__", "There is already a user of this name in this domain"),
        ({"password": "abc", "password_again": "abc"}, "password", "at least 8 characters"),
        ({"password": "has a space", "password_again": "has a space"}, "password", "spaces"),
        ({"password": "password1", "password_again": "password1"}, "password", "attackers try first"),
        ({"password": "", "password_again": ""}, "password", "required"),
        ({"password_again": "something-else"}, "password_again", "not the same"),
        ({"max_outgoing_bytes": "-5"}, "max_outgoing_bytes", "0"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(browser: Client, changes: dict[str, str], field: str, words: str) -> None:
    response = browser.post(ADD, new_user_form(browser, **changes))
    assert response.status_code == 200
    assert words in " ".join(errors_of(response)[field])
    assert User.objects.count() == 1


def test_the_form_names_the_length_that_is_set(browser: Client) -> None:
    set_setting(MIN_PASSWORD_LENGTH.name, 14)
    assert "At least 14 characters" in browser.get(ADD).content.decode()


def test_saving_an_unchanged_user_changes_nothing(browser: Client, anna: User) -> None:
    before = User.objects.filter(pk=anna.pk).values().get()
    assert browser.post(page_of(anna), read_form(browser, page_of(anna), "user_form")).status_code == 302
    after = User.objects.filter(pk=anna.pk).values().get()
    assert sorted(after.pop("allowed_protocols")) == sorted(before.pop("allowed_protocols"))
    assert after == before


def test_allowances_for_protocols_that_are_not_on_the_form_stay(browser: Client, anna: User) -> None:
    form = read_form(browser, page_of(anna), "user_form")
    browser.post(page_of(anna), {**form, "allowed_protocols": ["pop3"]})
    anna.refresh_from_db()
    assert sorted(anna.allowed_protocols) == ["pop3", "status"]


def test_a_new_password_is_set_beside_the_rest(browser: Client, anna: User) -> None:
    form = read_form(browser, page_of(anna), "user_form")
    new = {
        "password": "four-odd-words",
        "password_again": "four-odd-words",
        "is_admin": "on",
        "full_name": "Anna Jones",
    }
    assert browser.post(page_of(anna), {**form, **new}).status_code == 302
    assert Client().login(username="anna", password="four-odd-words")
    anna.refresh_from_db()
    assert anna.full_name == "Anna Jones"


def test_a_weak_new_password_leaves_everything_as_it_was(browser: Client, anna: User) -> None:
    form = read_form(browser, page_of(anna), "user_form")
    weak = {"password": "anna", "password_again": "anna", "full_name": "Anna Jones"}
    response = browser.post(page_of(anna), {**form, **weak})
    assert "at least 8 characters" in " ".join(errors_of(response)["password"])
    anna.refresh_from_db()
    assert anna.full_name == "Anna Smith"


def test_changing_ones_own_password_keeps_this_browser_logged_in(browser: Client, administrator: User) -> None:
    form = read_form(browser, page_of(administrator), "user_form")
    browser.post(page_of(administrator), {**form, "password": "four-odd-words", "password_again": "four-odd-words"})
    assert browser.get(LIST).status_code == 200


@pytest.mark.parametrize("field", ["is_admin", "is_active"])
def test_nobody_locks_himself_out(browser: Client, administrator: User, field: str) -> None:
    create_user("other", PASSWORD, is_admin=True)
    form = read_form(browser, page_of(administrator), "user_form")
    del form[field]
    response = browser.post(page_of(administrator), form)
    assert "lock yourself out" in " ".join(errors_of(response)[field])


def test_the_question_before_a_deletion_says_what_goes(browser: Client, anna: User) -> None:
    Mailbox.objects.filter(user=anna, name="INBOX").update(messages=1234, size=5_000_000)
    page = browser.get(f"/admin/users/user/{anna.pk}/delete/").content.decode()
    assert re.search(r"anna@example.test with 1,234 messages \(4.8\sMB\), which cannot be brought back", page)


def test_a_user_is_deleted(browser: Client, anna: User) -> None:
    assert browser.post(f"/admin/users/user/{anna.pk}/delete/", {"post": "yes"}).status_code == 302
    assert find_user("anna") is None


def test_nobody_deletes_himself(browser: Client, administrator: User) -> None:
    create_user("other", PASSWORD, is_admin=True)
    response = browser.post(f"/admin/users/user/{administrator.pk}/delete/", {"post": "yes"}, follow=True)
    assert "You cannot delete yourself" in messages_of(response)
    assert find_user("postmaster") is not None


def test_the_main_administrator_is_not_deleted(browser: Client) -> None:
    chief = create_user("chief", PASSWORD, is_admin=True)
    set_setting(MAIN_ADMINISTRATOR.name, "chief")
    response = browser.post(f"/admin/users/user/{chief.pk}/delete/", {"post": "yes"}, follow=True)
    assert "is the main administrator" in messages_of(response)


def test_of_several_users_all_are_deleted_or_none(browser: Client, administrator: User, anna: User) -> None:
    action = {"action": "delete_selected", "_selected_action": [anna.pk, administrator.pk], "post": "yes"}
    response = browser.post(LIST, action, follow=True)
    assert "You cannot delete yourself" in messages_of(response)
    assert find_user("anna") is not None
    browser.post(LIST, {**action, "_selected_action": [anna.pk]})
    assert find_user("anna") is None


def test_the_list_shows_labels_counts_and_sizes(browser: Client, anna: User) -> None:
    create_user("locked", PASSWORD, is_active=False, may_send_out=False)
    Mailbox.objects.filter(user=anna, name="INBOX").update(messages=1234, size=5_000_000)
    Mailbox.objects.filter(user=anna, name="Sent").update(messages=7, size=1_000_000)
    page = browser.get(LIST).content.decode()
    assert "Administrator" in page
    assert "Disabled" in page
    assert "Internal mail only" in page
    assert "1,234" in page, "the count is the Inbox's"
    assert re.search(r"5\.7\sMB", page), "the size is that of all folders"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=smith", {"anna@example.test"}),
        ("?q=front", {"desk@branch.test"}),
        ("?is_admin__exact=1", {"postmaster@example.test"}),
        ("?q=nobody-at-all", set()),
    ],
)
def test_the_list_is_searched_and_filtered(browser: Client, anna: User, query: str, found: set[str]) -> None:
    add_domain("branch.test")
    create_user("desk", PASSWORD, domain="branch.test", comments="At the front")
    response = browser.get(LIST + query)
    assert {user.address for user in response.context["cl"].result_list} == found


def test_the_list_is_sorted_by_size(browser: Client, anna: User) -> None:
    Mailbox.objects.filter(user=anna, name="Sent").update(size=1_000_000)
    response = browser.get(f"{LIST}?o=-4")
    assert response.context["cl"].result_list[0] == anna


def test_a_search_without_result_says_so(browser: Client) -> None:
    assert "Nothing fits" in browser.get(f"{LIST}?q=nobody-at-all").content.decode()
