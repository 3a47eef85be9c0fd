# SPDX-License-Identifier: MIT
"""Names of conversations: what belongs together has one, and nothing else has."""

from __future__ import annotations

import re

import pytest

from mailserver.values import ContentId
from protocols.imap.object_ids import format_thread_id

ROOT = {"message-id": "<root@example.test>"}
NAME = re.compile(r"T[0-9a-f]{32}")


def name(fields: dict[str, str], content: int = 1) -> str:
    return format_thread_id(ContentId(content), fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"message-id": "<b@x>", "references": "<root@example.test>"},
        {"message-id": "<c@x>", "references": "<root@example.test> <b@x>", "in-reply-to": "<b@x>"},
        {"message-id": "<d@x>", "references": "no id <root@example.test><b@x> <c"},
        {"message-id": "<e@x>", "references": "nonsense", "in-reply-to": "<root@example.test>"},
        {"message-id": "<f@x>", "in-reply-to": "Your message of Monday <root@example.test>"},
        {"message-id": '<"root"@example.test>'},
        {"message-id": "<root@example.test> <other@x>", "subject": "something else"},
    ],
)
def test_a_conversation_has_the_name_of_its_first_message(fields: dict[str, str]) -> None:
    assert NAME.fullmatch(name(ROOT))
    assert name(fields, 2) == name(ROOT)


@pytest.mark.parametrize(
    "fields",
    [{}, {"message-id": "none"}, {"message-id": "<>"}, {"message-id": "<Root@example.test>"}, {"subject": "x"}],
)
def test_other_messages_have_other_names(fields: dict[str, str]) -> None:
    assert name(fields) != name(ROOT)


def test_messages_without_an_id_stand_alone() -> None:
    assert (name({}, 1), name({"references": "<"}, 2)) == ("T1", "T2")


def test_what_no_charset_holds_is_no_trouble() -> None:
    assert NAME.fullmatch(name({"message-id": "<\udcff@x>"}))
