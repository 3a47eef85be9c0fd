# SPDX-License-Identifier: MIT
"""Every page of the console can be opened by an administrator, and by nobody else."""

from __future__ import annotations

import pytest
from django.test import Client

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
