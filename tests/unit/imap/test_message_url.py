# SPDX-License-Identifier: MIT
"""RFC 5092 URLs as CATENATE uses them."""

from __future__ import annotations

import pytest

from mailserver.mime.sections import Section, SectionText
from protocols.imap.fetch_items import Extent
from protocols.imap.message_url import EVERYTHING, MessageUrl, parse_message_url

WHOLE = Section()


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("/INBOX/;UID=7", MessageUrl("INBOX", 7, None, WHOLE, None)),
        ("/Drafts;UIDVALIDITY=385/;UID=20", MessageUrl("Drafts", 20, 385, WHOLE, None)),
        ("/a/b/;uid=1/;section=1.2", MessageUrl("a/b", 1, None, Section((1, 2)), None)),
        ("/INBOX/;UID=1/;SECTION=HEADER", MessageUrl("INBOX", 1, None, Section(text=SectionText.HEADER), None)),
        ("/INBOX/;UID=1/;PARTIAL=10.20", MessageUrl("INBOX", 1, None, WHOLE, Extent(10, 20))),
        ("/INBOX/;UID=1/;PARTIAL=10", MessageUrl("INBOX", 1, None, WHOLE, Extent(10, EVERYTHING))),
        ("/M%C3%BCll/;UID=1", MessageUrl("Müll", 1, None, WHOLE, None)),
        ("imap://alice@mail.example.test/INBOX/;UID=1", MessageUrl("INBOX", 1, None, WHOLE, None)),
        ("imap://ALICE;AUTH=*@Mail.Example.test/INBOX/;UID=1", MessageUrl("INBOX", 1, None, WHOLE, None)),
        ("imap://mail.example.test:143/INBOX/;UID=1", MessageUrl("INBOX", 1, None, WHOLE, None)),
    ],
)
def test_urls_of_this_server(url: str, meant: MessageUrl) -> None:
    assert parse_message_url(url, hostname="mail.example.test", logins=frozenset({"alice"})) == meant


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "INBOX/;UID=1", "/INBOX", "/INBOX/;UID=0", "/INBOX/;UID=x", "/INBOX/;UID=1;URLAUTH=anonymous",
        "/INBOX/;UID=1/;SECTION=NOSUCH", "/INBOX/;UID=1/;SECTION=1]x[", "/INBOX/;UID=1/;PARTIAL=x",
        "imap://other.example.test/INBOX/;UID=1", "imap://bob@mail.example.test/INBOX/;UID=1",
        "http://mail.example.test/INBOX/;UID=1", "/;UID=1",
    ],
)  # fmt: skip
def test_what_names_nothing_here(url: str) -> None:
    assert parse_message_url(url, hostname="mail.example.test", logins=frozenset({"alice"})) is None
