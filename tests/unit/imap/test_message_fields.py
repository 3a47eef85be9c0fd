# SPDX-License-Identifier: MIT
"""Header fields of messages: kept ones without reading a message, others and doubtful ones from its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from mailserver.mime.headers import MAX_FIELD_CHARACTERS
from mailserver.store.interface import Filing, NewContent, NewEntry, StoredContent, Unit
from mailserver.store.memory import MemoryStore
from mailserver.values import Body, ContentId, UserId
from protocols.imap.message_fields import MessageFields
from protocols.imap.search_keys import HasHeader


class CountingStore(MemoryStore):
    """Knows which messages were read."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox = self.add_user(UserId(1)).id
        self.read: list[ContentId] = []

    def read_contents(self, contents: Sequence[ContentId]) -> list[StoredContent]:
        self.read += contents
        return super().read_contents(contents)

    def read_fields(self, contents: Sequence[ContentId]) -> dict[ContentId, Mapping[str, str]]:
        return {content.id: content.fields for content in super().read_contents(contents)}

    def file(self, data: bytes, fields: Mapping[str, str]) -> ContentId:
        content = NewContent("r", Body(len(data), hashlib.sha256(data).hexdigest(), data), fields=fields)
        result = self.submit(Unit(filings=(Filing(content, (NewEntry(self.inbox),)),))).result()
        return result.contents[0]


def test_kept_fields_need_no_message() -> None:
    store = CountingStore()
    content = store.file(b"Subject: one\r\n\r\n", {"subject": "one"})
    fields = MessageFields(store)
    assert fields.having(HasHeader("SUBJECT", "ONE"), [content]) == {content}
    assert fields.having(HasHeader("To", ""), [content]) == set()
    assert store.read == []


def test_a_message_filed_without_fields_is_read_once() -> None:
    store = CountingStore()
    content = store.file(b"Subject: one\r\nSubject: two\r\nX-Y: z\r\n\r\n", {})
    fields = MessageFields(store)
    assert fields.read([content]) == {content: {"subject": "one"}}
    assert fields.read([content]) == {content: {"subject": "one"}}
    assert store.read == [content]


def test_a_field_that_was_cut_is_read_whole() -> None:
    store = CountingStore()
    long = "x" * MAX_FIELD_CHARACTERS + " needle"
    content = store.file(f"Subject: {long}\r\n\r\n".encode(), {"subject": long[:MAX_FIELD_CHARACTERS]})
    assert MessageFields(store).having(HasHeader("Subject", "Needle"), [content]) == {content}


def test_messages_that_are_gone_have_nothing() -> None:
    fields = MessageFields(CountingStore())
    gone = [ContentId(999)]
    assert fields.read(gone) == {}
    assert fields.having(HasHeader("X-Any", "text"), gone) == set()
