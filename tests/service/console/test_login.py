# SPDX-License-Identifier: MIT
"""Who gets in, how, and what the browser keeps of it."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from mailserver.addressing.services import add_domain
from mailserver.config.catalog import SETUP_DONE
from mailserver.config.services import set_setting
from mailserver.users.models import User
from mailserver.users.services import create_user, update_user
from tests.service.console.conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def log_in(client: Client, name: str, password: str = PASSWORD) -> int:
    return client.post("/admin/login/", {"username": name, "password": password}).status_code


@pytest.mark.parametrize("name", ["postmaster", "POSTMASTER", "postmaster@example.test"])
def test_an_administrator_logs_in_by_name_or_address(administrator: User, name: str) -> None:
    client = Client()
    response = client.post("/admin/login/", {"username": name, "password": PASSWORD}, follow=True)
    assert response.redirect_chain == [("/admin/", 302)]
    assert response.context["user"] == administrator


@pytest.mark.parametrize(
    ("name", "password"), [("postmaster", "wrong"), ("nobody", PASSWORD), ("anna", PASSWORD), ("", "")]
)
def test_everybody_else_is_told_the_same(anna: User, name: str, password: str) -> None:
    response = Client().post("/admin/login/", {"username": name, "password": password})
    assert response.status_code == 200
    if name:
        assert b"Only administrators may open this console" in response.content


def test_the_second_of_a_name_logs_in_by_address(administrator: User) -> None:
    add_domain("branch.test")
    second = create_user("postmaster", "other-odd-words", domain="branch.test", is_admin=True)
    client = Client()
    client.post("/admin/login/", {"username": second.address, "password": "other-odd-words"})
    assert client.get("/admin/").context["user"] == second


def test_whoever_is_no_longer_administrator_is_out_at_once(browser: Client, administrator: User) -> None:
    create_user("other", PASSWORD, is_admin=True)
    update_user(administrator.pk, is_admin=False)
    assert browser.get("/admin/").status_code == 302


def test_cookies_are_kept_from_scripts_and_other_sites(administrator: User) -> None:
    client = Client()
    client.get("/admin/login/")
    log_in(client, "postmaster")
    for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME):
        cookie = client.cookies[name]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize("host", ["mail.office.example", "192.168.1.20:8000", "[2001:db8::1]:8000"])
def test_the_login_works_under_any_name_of_the_machine(administrator: User, host: str) -> None:
    client = Client(enforce_csrf_checks=True, HTTP_HOST=host)
    client.get("/admin/login/")
    token = client.cookies[settings.CSRF_COOKIE_NAME].value
    form = {"username": "postmaster", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post("/admin/login/", form, HTTP_ORIGIN=f"http://{host}").status_code == 302


def test_another_site_cannot_log_somebody_in(administrator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.get("/admin/login/")
    token = client.cookies[settings.CSRF_COOKIE_NAME].value
    form = {"username": "postmaster", "password": PASSWORD, "csrfmiddlewaretoken": token}
    response = client.post("/admin/login/", form, HTTP_ORIGIN="http://elsewhere.example")
    assert response.status_code == 403


def test_the_set_up_page_opens_once_after_a_login_until_it_is_done(administrator: User) -> None:
    set_setting(SETUP_DONE.name, "domain users")
    client = Client()
    log_in(client, "postmaster")
    assert client.get("/admin/")["Location"] == "/admin/setup/"
    assert client.get("/admin/").status_code == 200


def test_logging_out_ends_the_session(browser: Client) -> None:
    assert browser.post("/admin/logout/").status_code == 200
    assert browser.get("/admin/").status_code == 302


def test_the_root_leads_to_the_console(administrator: User) -> None:
    assert Client().get("/")["Location"] == "/admin/"


def test_ones_own_password_is_changed_by_the_rules(browser: Client, administrator: User) -> None:
    form = {"present": PASSWORD, "password": "short", "password_again": "short"}
    assert "at least 8 characters" in browser.post("/admin/password_change/", form).content.decode()
    form = {"present": "wrong", "password": "four-odd-words", "password_again": "four-odd-words"}
    assert "not your present password" in browser.post("/admin/password_change/", form).content.decode()
    form = {"present": PASSWORD, "password": "four-odd-words", "password_again": "for-odd-words"}
    assert "not the same" in browser.post("/admin/password_change/", form).content.decode()
    form = {"present": PASSWORD, "password": "four-odd-words", "password_again": "four-odd-words"}
    assert browser.post("/admin/password_change/", form).status_code == 302
    assert browser.get("/admin/").status_code == 200, "this browser stays logged in"
    assert log_in(Client(), "postmaster", "four-odd-words") == 302
