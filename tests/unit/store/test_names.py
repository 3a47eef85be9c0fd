# SPDX-License-Identifier: MIT
"""Names of mailboxes."""

from __future__ import annotations

import pytest

from mailserver.errors import Kind, MailError
from mailserver.store.names import MAX_NAME_CHARACTERS, is_below, normal_name, renamed, show_order


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "a/", "a//b", "a\0", "a\r\n", "a\x7f", "a\u2028b", "\ud800", "x" * 256, "inbox/"]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(MailError) as caught:
        normal_name(name)
    assert caught.value.kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("inbox", "INBOX"),
        ("InBox/Sub", "INBOX/Sub"),
        ("INBOX", "INBOX"),
        ("Inboxes", "Inboxes"),
        ("a/inbox", "a/inbox"),
        ("trash", "trash"),
        ("Caf\u00e9 & co", "Caf\u00e9 & co"),
        ("x" * MAX_NAME_CHARACTERS, "x" * MAX_NAME_CHARACTERS),
    ],
)
def test_only_inbox_has_no_case(name: str, normal: str) -> None:
    assert normal_name(name) == normal


@pytest.mark.parametrize(
    ("name", "parent", "below"), [("a/b", "a", True), ("a/b/c", "a", True), ("a", "a", False), ("ab", "a", False)]
)
def test_what_is_below(name: str, parent: str, below: bool) -> None:
    assert is_below(name, parent) is below


def test_a_child_follows_its_parent() -> None:
    assert renamed("a/b/c", "a/b", "x") == "x/c"
    assert renamed("a/b", "a/b", "inbox/y") == "INBOX/y"


def test_inbox_is_shown_first() -> None:
    assert sorted(["Zoo", "INBOX", "Archive", "INBOX/Sub"], key=show_order) == ["INBOX", "Archive", "INBOX/Sub", "Zoo"]
