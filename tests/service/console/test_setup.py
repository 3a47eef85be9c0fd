# SPDX-License-Identifier: MIT
"""The set-up page: each step can be done, skipped and reopened, and what is done is remembered."""

from __future__ import annotations

import pytest
from django.test import Client

from mailserver.addressing.services import default_domain, list_domains
from mailserver.config.catalog import SETUP_DONE, ServiceKind
from mailserver.config.models import Service
from mailserver.config.services import get_setting, set_setting, update_service
from mailserver.config.snapshot import Binding
from mailserver.connectors.reading import read_senders
from mailserver.journey.models import Journey
from mailserver.store.models import Entry
from mailserver.users.models import User
from mailserver.users.services import find_user
from mailserver.work.models import WorkItem
from tests.service.console.conftest import PASSWORD
from tests.service.console.forms import messages_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
PAGE = "/admin/setup/"


@pytest.fixture(autouse=True)
def fresh(administrator: User) -> None:
    """Nothing is done yet."""
    set_setting(SETUP_DONE.name, "")


def done() -> set[str]:
    return set(get_setting(SETUP_DONE).split())


def test_the_domain_is_added_and_becomes_the_default(browser: Client) -> None:
    response = browser.post(PAGE, {"step": "domain", "domain-name": "Office.Example"})
    assert response["Location"] == f"{PAGE}#step-domain"
    assert list_domains() == ["example.test", "office.example"]
    assert default_domain() == "office.example"
    assert done() == {"domain"}


def test_the_domain_that_is_there_already_can_be_kept(browser: Client) -> None:
    browser.post(PAGE, {"step": "domain", "domain-name": "example.test"})
    assert list_domains() == ["example.test"]
    assert done() == {"domain"}


@pytest.mark.parametrize("name", ["", "no domain", "anna@office.example"])
def test_a_wrong_domain_is_said_in_its_step(browser: Client, name: str) -> None:
    response = browser.post(PAGE, {"step": "domain", "domain-name": name})
    assert response.context["forms"]["domain"].errors["name"]
    assert done() == set()


def test_users_are_added_in_the_default_domain_until_all_are_there(browser: Client) -> None:
    form = {"step": "users", "users-name": "bert", "users-full_name": "Bert Brown", "users-password": PASSWORD}
    assert browser.post(PAGE, form).status_code == 302
    user = find_user("bert")
    assert user is not None
    assert user.address == "bert@example.test"
    assert WorkItem.objects.filter(kind="welcome").exists()
    assert done() == set(), "there may be more of them"
    assert "bert@example.test" in browser.get(PAGE).content.decode()


def test_a_weak_password_is_said_in_its_step(browser: Client) -> None:
    form = {"step": "users", "users-name": "bert", "users-full_name": "", "users-password": "bert"}
    response = browser.post(PAGE, form)
    assert "at least 8 characters" in " ".join(response.context["forms"]["users"].errors["password"])
    assert find_user("bert") is None


def test_the_step_about_arrival_says_who_can_reach_the_server(browser: Client) -> None:
    page = browser.get(PAGE).content.decode()
    assert "127.0.0.1:2025" in page
    assert "only this machine can reach it" in page
    smtp = Service.objects.get(kind=ServiceKind.SMTP.value)
    update_service(smtp.pk, bindings=[Binding("0.0.0.0", 2025)])
    assert "other machines can reach it" in browser.get(PAGE).content.decode()
    update_service(smtp.pk, fields={"enabled": False})
    assert "no mail can arrive" in browser.get(PAGE).content.decode()


def test_the_test_message_is_really_delivered(browser: Client, anna: User) -> None:
    response = browser.post(PAGE, {"step": "test", "test-user": str(anna.pk)}, follow=True)
    entry = Entry.objects.get(mailbox__user=anna)
    journey = Journey.objects.get()
    assert entry.content.ref == journey.ref
    assert b"It was delivered to anna@example.test." in bytes(entry.content.body or b"")
    assert f"/admin/where-is-my-mail/{journey.ref}/" in messages_of(response)
    assert browser.get(f"/admin/where-is-my-mail/{journey.ref}/").status_code == 200
    assert done() == {"test"}


def test_the_test_message_needs_a_user_who_is_there(browser: Client) -> None:
    response = browser.post(PAGE, {"step": "test", "test-user": "999999"})
    assert response.context["forms"]["test"].errors["user"]
    assert done() == set()


@pytest.mark.parametrize("step", ["domain", "users", "arrival", "sending", "test"])
def test_a_step_is_skipped_and_reopened(browser: Client, step: str) -> None:
    browser.post(PAGE, {"step": step, "mark": ""})
    assert done() == {step}
    browser.post(PAGE, {"step": step, "reopen": ""})
    assert done() == set()


def test_everything_can_be_skipped_at_once(browser: Client) -> None:
    browser.post(PAGE, {"step": "", "mark": ""})
    assert done() == {"domain", "users", "arrival", "sending", "test"}
    assert "Set-up is done" in browser.get(PAGE).content.decode()


@pytest.mark.parametrize("form", [{}, {"step": "nonsense"}, {"step": "arrival"}])
def test_a_form_without_meaning_changes_nothing(browser: Client, form: dict[str, str]) -> None:
    assert browser.post(PAGE, form).status_code == 302
    assert done() == set()


def test_mail_leaves_through_the_server_that_is_named(browser: Client) -> None:
    form = {
        "step": "sending",
        "sending-method": "smtp-relay",
        "sending-server": "smtp.example.net:587",
        "sending-encryption": "starttls",
        "sending-username": "office",
        "sending-password": "top-secret",
    }
    assert browser.post(PAGE, form).status_code == 302
    (sender,) = read_senders()
    assert [(server.host, server.port, server.encryption) for server in sender.servers] == [
        ("smtp.example.net", 587, "starttls")
    ]
    assert (sender.credentials.username, sender.credentials.password) == ("office", "top-secret")
    assert sender.send_immediately
    assert done() == {"sending"}


@pytest.mark.parametrize(
    ("server", "complaint"), [("", "name of your provider"), ("smtp.example.net 587", "not one of")]
)
def test_a_wrong_server_is_said_in_its_step(browser: Client, server: str, complaint: str) -> None:
    form = {"step": "sending", "sending-method": "smtp-relay", "sending-server": server, "sending-encryption": "tls"}
    response = browser.post(PAGE, form)
    assert complaint in " ".join(response.context["forms"]["sending"].errors["server"])
    assert done() == set()


def test_mail_goes_straight_to_its_recipients(browser: Client) -> None:
    form = {"step": "sending", "sending-method": "smtp-direct", "sending-encryption": "tls"}
    assert browser.post(PAGE, form).status_code == 302
    assert [sender.method for sender in read_senders()] == ["smtp-direct"]
