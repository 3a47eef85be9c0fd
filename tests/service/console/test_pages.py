# SPDX-License-Identifier: MIT
"""Every page of the console can be opened by an administrator, and by nobody else."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client

from admin_ui import status
from mailserver.users.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PAGES = (
    "/admin/",
    "/admin/status/live/",
    "/admin/setup/",
    "/admin/where-is-my-mail/",
    "/admin/where-is-my-mail/?q=anna",
    "/admin/access/",
    "/admin/settings/",
    "/admin/settings/dns-test/",
    "/admin/certificate/",
    "/admin/password_change/",
    "/admin/users/user/",
    "/admin/users/user/add/",
    "/admin/addressing/domain/",
    "/admin/addressing/domain/add/",
    "/admin/config/service/",
    "/admin/config/service/add/",
    "/admin/config/bandwidthpool/",
    "/admin/config/bandwidthpool/add/",
    "/admin/config/capabilityhiding/",
    "/admin/config/capabilityhiding/add/",
    "/admin/store/mailbox/",
    "/admin/store/mailbox/add/",
    "/admin/outqueue/queuedrecipient/",
    "/admin/connectors/oauthaccount/",
    "/admin/connectors/oauthaccount/add/",
)


@pytest.mark.parametrize("page", PAGES)
def test_an_administrator_opens_the_page(browser: Client, page: str) -> None:
    response = browser.get(page)
    assert response.status_code == 200
    assert b"Pillarbox" in response.content or page == "/admin/status/live/"


@pytest.mark.parametrize("page", PAGES)
def test_a_user_who_is_no_administrator_is_sent_to_the_login(anna: User, page: str) -> None:
    client = Client()
    client.force_login(anna)
    response = client.get(page)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_an_address_that_does_not_exist_says_so_in_plain_words(browser: Client) -> None:
    response = browser.get("/admin/no-such-page/")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_what_cannot_be_added_by_hand_says_so(browser: Client) -> None:
    response = browser.get("/admin/outqueue/queuedrecipient/add/")
    assert response.status_code == 403
    assert "cannot be added" in response.content.decode()


def test_a_fault_of_ours_shows_no_details(
    browser: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OperationalError("connection to 10.0.0.1 with password secret failed")

    monkeypatch.setattr(status, "list_processes", fail)
    browser.raise_request_exception = False
    response = browser.get("/admin/")
    assert response.status_code == 500
    assert "errors.log" in response.content.decode()
    assert "10.0.0.1" not in response.content.decode()
    assert "10.0.0.1" in caplog.text, "it is logged whole"


def test_a_foreign_form_is_refused_in_plain_words(administrator: User) -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "postmaster", "password": "x"})
    assert response.status_code == 403
    assert "could not be trusted" in response.content.decode()


@pytest.mark.parametrize("file", ["console/console.css", "console/console.js", "unfold/css/styles.css"])
def test_static_files_need_no_login_and_no_web_server(file: str) -> None:
    response = Client().get(f"/static/{file}")
    assert response.status_code == 200
    assert len(response.content) == int(response["Content-Length"])
    again = Client().get(f"/static/{file}", HTTP_IF_MODIFIED_SINCE=response["Last-Modified"])
    assert again.status_code == 304
    assert again.content == b""
