# SPDX-License-Identifier: MIT
"""Domains on screen: added and deleted; each refusal in plain words."""

from __future__ import annotations

import pytest
from django.test import Client

from mailserver.addressing.services import add_domain, list_domains
from mailserver.users.models import User
from mailserver.users.services import create_user
from tests.service.console.conftest import PASSWORD
from tests.service.console.forms import messages_of

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LIST, ADD = "/admin/addressing/domain/", "/admin/addressing/domain/add/"


def test_a_domain_is_added_in_its_stored_spelling(browser: Client) -> None:
    assert browser.post(ADD, {"name": "Bücher.Example"}).status_code == 302
    assert list_domains() == ["example.test", "xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exa mple", "is not a domain name"),
        ("anna@example.com", "only the part after the @"),
        ("EXAMPLE.test", "already a local domain"),
        ("", "required"),
    ],
)
def test_what_is_wrong_is_said_at_the_name(browser: Client, name: str, words: str) -> None:
    response = browser.post(ADD, {"name": name})
    assert words in " ".join(response.context["adminform"].form.errors["name"])
    assert list_domains() == ["example.test"]


def test_a_domain_with_users_stays(browser: Client) -> None:
    domain = add_domain("branch.test")
    create_user("anna", PASSWORD, domain="branch.test")
    response = browser.post(f"{LIST}{domain.pk}/delete/", {"post": "yes"}, follow=True)
    assert "branch.test still has a user" in messages_of(response)
    assert "branch.test" in list_domains()


def test_an_empty_domain_goes(browser: Client) -> None:
    domain = add_domain("branch.test")
    assert browser.post(f"{LIST}{domain.pk}/delete/", {"post": "yes"}).status_code == 302
    assert list_domains() == ["example.test"]


def test_the_list_counts_users_and_marks_the_default(browser: Client, anna: User) -> None:
    add_domain("branch.test")
    page = browser.get(LIST).content.decode()
    assert page.count(">Default<") == 1
    response = browser.get(LIST)
    counts = {domain.name: domain.user_count for domain in response.context["cl"].result_list}
    assert counts == {"example.test": 2, "branch.test": 0}
