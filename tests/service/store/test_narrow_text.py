# SPDX-License-Identifier: MIT
"""Header searches over the database store: the same answers with and without the index, and fewer messages read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mailserver.mime.headers import header_section, summarise
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.values import MailboxId
from protocols.imap.message_fields import MessageFields
from protocols.imap.search_keys import HasHeader
from tests.support.filings import WAIT_SECONDS, make_body
from tests.support.stores import make_process, make_user, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

MESSAGES = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nList-Id: <office.example.test>\r\n\r\nhello\r\n",
    b"From: office@example.test\r\nSubject: other\r\n\r\ngr\xc3\xbc\xc3\x9fe list-id\r\n",
    b"From: anna@example.test\r\nX-Empty:\r\n\r\nnothing\r\n",
)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Subject", "GRÜß", {0}),
        ("subject", "", {0, 1}),
        ("From", "office", {1}),
        ("List-Id", "office", {0}),
        ("List-Id", "", {0}),
        ("X-Empty", "", {2}),
        ("X-Empty", "nothing", set()),
        ("Subject", "er", {1}),
    ],
)
def test_header_search(tmp_path: Path, name: str, text: str, found: set[int]) -> None:
    with closing(open_database_store(tmp_path, make_process())) as store:
        inbox = store.get_mailbox(make_user(), "INBOX").id
        filings = [_filing(inbox, f"{number:026}", data) for number, data in enumerate(MESSAGES)]
        contents = store.submit(Unit(filings=tuple(filings))).result(WAIT_SECONDS).contents
        expected = {contents[number] for number in found}
        assert MessageFields(store).having(HasHeader(name, text), contents) == expected
        store.index_texts(contents)
        assert MessageFields(store).having(HasHeader(name, text), contents) == expected
        assert store.narrow_text(contents, "hello") == {contents[0]}


def _filing(inbox: MailboxId, ref: str, data: bytes) -> Filing:
    fields = summarise(header_section(data)).fields
    return Filing(NewContent(ref, make_body(data), fields=fields), (NewEntry(inbox),))
