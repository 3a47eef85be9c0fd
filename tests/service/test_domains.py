# SPDX-License-Identifier: MIT
"""Local domains: one spelling, no nonsense, none deleted that is needed."""

from __future__ import annotations

import pytest

from mailserver.addressing.services import (
    add_domain,
    default_domain,
    delete_domain,
    find_domain,
    list_domains,
    parse_local_domain,
)
from mailserver.config.services import current_revision, set_setting
from mailserver.errors import InvalidInput
from mailserver.users.services import create_user

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "a..b",
        "-a.example",
        "a-.example",
        "a_b.example",
        "user@example.com",
        "exa mple.com",
        "[192.0.2.1]",
        "x" * 64 + ".example",
        ".".join(["x" * 60] * 5),
        "exam\0ple.com",
        "http://example.com",
        "exa\u2028mple.com",
    ],
)
def test_not_a_domain(text: str) -> None:
    with pytest.raises(InvalidInput):
        add_domain(text)
    assert list_domains() == []


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Example.COM", "example.com"),
        (" example.com. ", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("1.example", "1.example"),
    ],
)
def test_one_spelling(text: str, stored: str) -> None:
    assert parse_local_domain(text) == stored
    assert add_domain(text).name == stored
    found = find_domain(text)
    assert found is not None
    assert found.name == stored


def test_a_domain_is_added_once() -> None:
    add_domain("example.com")
    with pytest.raises(InvalidInput, match="already a local domain"):
        add_domain("EXAMPLE.com")


def test_the_default_is_the_chosen_one_else_the_first() -> None:
    assert default_domain() == ""
    add_domain("one.example")
    add_domain("two.example")
    assert default_domain() == "one.example"
    set_setting("mail.default_domain", "two.example")
    assert default_domain() == "two.example"


def test_what_keeps_a_domain() -> None:
    add_domain("one.example")
    with pytest.raises(InvalidInput, match="only domain"):
        delete_domain("one.example")
    add_domain("two.example")
    set_setting("mail.default_domain", "two.example")
    with pytest.raises(InvalidInput, match="default domain"):
        delete_domain("two.example")
    create_user("alice", "alice-secret-1", domain="one.example")
    with pytest.raises(InvalidInput, match="still has a user"):
        delete_domain("one.example")
    with pytest.raises(InvalidInput, match="not a local domain"):
        delete_domain("three.example")


def test_a_deleted_domain_is_no_longer_local() -> None:
    add_domain("one.example")
    add_domain("two.example")
    before = current_revision()
    delete_domain("ONE.example")
    assert list_domains() == ["two.example"]
    assert current_revision() > before
