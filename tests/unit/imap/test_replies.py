# SPDX-License-Identifier: MIT
"""Every form of reply, and the table of failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailserver.errors import Kind, MailError
from mailserver.mime.threads import ThreadMessage, ThreadNode
from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.arguments import StatusItem
from protocols.imap.sequence import NumberSet, PartialRange
from protocols.imap.wire import format_astring, format_date_time, format_flags, format_mailbox, format_string

NOOP = c.Noop("a1")


def test_every_failure_has_an_answer() -> None:
    assert set(replies.FAILURES) == set(Kind)
    for kind in Kind:
        line = replies.format_reply(replies.failed(NOOP, MailError(kind, "secret note")))
        assert line.startswith(b"a1 NO [" + replies.FAILURES[kind].code + b"] ")
        assert b"secret" not in line


def test_a_missing_target_can_be_created() -> None:
    missing = MailError(Kind.NOT_FOUND)
    assert replies.failed(NOOP, missing).code == b"NONEXISTENT"
    assert replies.failed(NOOP, missing, target=True).code == b"TRYCREATE"
    assert replies.failed(NOOP, MailError(Kind.FORBIDDEN), target=True).code == b"NOPERM"


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (replies.completed(NOOP), b"a1 OK NOOP completed\r\n"),
        (replies.completed(c.Copy("a", True, NumberSet(), "x"), b"X"), b"a OK [X] UID COPY completed\r\n"),  # type: ignore[arg-type]
        (replies.completed(c.Select("a", "x", read_only=True)), b"a OK EXAMINE completed\r\n"),
        (replies.refused(NOOP, "no", replies.CANNOT_CODE), b"a1 NO [CANNOT] no\r\n"),
        (replies.bad("", "what?"), b"* BAD What?\r\n"),
        (replies.bad("a", "caf\u00e9\r\nb OK"), b"a BAD Caf???b OK\r\n"),
        (replies.bad("a", ""), b"a BAD .\r\n"),
        (replies.logged_in(NOOP, ["IMAP4rev1", "IDLE"]), b"a1 OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n"),
        (replies.login_limit_reached(NOOP), b"a1 NO [LIMIT] Too many concurrent logins\r\n"),
        (replies.privacy_required(NOOP), b"a1 NO [PRIVACYREQUIRED] Encrypt the connection first\r\n"),
        (replies.Continuation(b""), b"+ \r\n"),
        (replies.LOGOUT, b"* BYE Pillarbox IMAP4 server signing off\r\n"),
    ],
)
def test_status_responses(reply: replies.Completion, line: bytes) -> None:
    assert replies.format_reply(reply) == line


def test_the_greeting_names_the_capabilities() -> None:
    expected = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] Pillarbox IMAP4 server ready\r\n"
    assert replies.greeting(["IMAP4rev1", "STARTTLS"]) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (replies.append_uid_code(9, NumberSet(((3, 4),))), b"APPENDUID 9 3:4"),
        (replies.copy_uid_code(9, [5, 1, 2], [7, 8, 9]), b"COPYUID 9 5,1:2 7:9"),
        (replies.modified_code(NumberSet(((3, 4), (7, 7)))), b"MODIFIED 3:4,7"),
        (replies.permanent_flags_code(["\\Seen"], new_keywords=True), b"PERMANENTFLAGS (\\Seen \\*)"),
        (replies.permanent_flags_code([], new_keywords=True), b"PERMANENTFLAGS (\\*)"),
        (replies.permanent_flags_code([], new_keywords=False), b"PERMANENTFLAGS ()"),
        (replies.mailbox_id_code("M1"), b"MAILBOXID (M1)"),
        (replies.in_progress_code("a", 5, 10), b'INPROGRESS ("a" 5 10)'),
        (replies.in_progress_code("a"), b'INPROGRESS ("a" NIL NIL)'),
        (replies.no_update_code("a"), b'NOUPDATE "a"'),
        (replies.bad_url_code("/x;UID=1"), b"BADURL /x;UID=1"),
        (replies.metadata_long_entries_code(7), b"METADATA LONGENTRIES 7"),
        (replies.metadata_max_size_code(7), b"METADATA MAXSIZE 7"),
        (replies.uid_validity_code(7), b"UIDVALIDITY 7"),
        (replies.uid_next_code(7), b"UIDNEXT 7"),
        (replies.highest_modseq_code(7), b"HIGHESTMODSEQ 7"),
        (replies.unseen_code(7), b"UNSEEN 7"),
    ],
)
def test_response_codes(code: bytes, expected: bytes) -> None:
    assert code == expected


@pytest.mark.parametrize(
    ("value", "utf8", "expected"),
    [
        (None, False, b"NIL"),
        (b"", False, b'""'),
        (b'a "b" \\c', False, b'"a \\"b\\" \\\\c"'),
        (b"a\r\nb", False, b"{4}\r\na\r\nb"),
        ("é".encode(), False, b"{2}\r\n\xc3\xa9"),
        ("é".encode(), True, b'"\xc3\xa9"'),
        (b"\xff", True, b"{1}\r\n\xff"),
        (b"\xc3\xa9\n", True, b"{3}\r\n\xc3\xa9\n"),
        (b"a\x00b", False, b'"ab"'),
        (b"x" * 1001, False, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_strings(value: bytes | None, utf8: bool, expected: bytes) -> None:
    assert format_string(value, utf8=utf8) == expected


def test_names_atoms_flags_and_dates() -> None:
    assert format_mailbox("Entwürfe") == b'"Entw&APw-rfe"'
    assert format_mailbox("Entwürfe", utf8=True) == '"Entwürfe"'.encode()
    assert (format_astring("bob"), format_astring("nil"), format_astring("a b")) == (b"bob", b'"nil"', b'"a b"')
    assert format_flags({"b", "\\Seen", "a", "\\Draft"}) == b"(\\Draft \\Seen a b)"
    moment = datetime(2024, 2, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert format_date_time(moment) == b'"31-Jan-2024 23:02:03 +0000"'
    assert format_date_time(datetime(2024, 2, 1, tzinfo=UTC)) == b'"01-Feb-2024 00:00:00 +0000"'


LISTED = untagged.ListedMailbox
NAMES = untagged.NamespaceEntry


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (untagged.capability(["A", "B"]), b"CAPABILITY A B"),
        (untagged.enabled([]), b"ENABLED"),
        (untagged.enabled(["CONDSTORE"]), b"ENABLED CONDSTORE"),
        (untagged.identification(None), b"ID NIL"),
        (untagged.identification({"name": "x", "os": None}), b'ID ("name" "x" "os" NIL)'),
        (untagged.exists(3), b"3 EXISTS"),
        (untagged.recent(0), b"0 RECENT"),
        (untagged.expunge(3), b"3 EXPUNGE"),
        (untagged.vanished(NumberSet(((1, 3),))), b"VANISHED 1:3"),
        (untagged.vanished(NumberSet(((1, 1),)), earlier=True), b"VANISHED (EARLIER) 1"),
        (untagged.flags(["\\Seen"]), b"FLAGS (\\Seen)"),
        (untagged.listed(LISTED("a", ("\\HasChildren",)), utf8=False), b'LIST (\\HasChildren) "/" "a"'),
        (untagged.listed(LISTED("ä"), utf8=False, subscribed=True), b'LSUB () "/" "&AOQ-"'),
        (untagged.listed(LISTED("a", (), ("SUBSCRIBED",)), utf8=True), b'LIST () "/" "a" ("CHILDINFO" ("SUBSCRIBED"))'),
        (untagged.listed(LISTED("a", old_name="b"), utf8=True), b'LIST () "/" "a" ("OLDNAME" ("b"))'),
        (untagged.listed(LISTED("a", extended=b" x"), utf8=True), b'LIST () "/" "a" x'),
        (untagged.list_delimiter(), b'LIST (\\Noselect) "/" ""'),
        (
            untagged.namespace([NAMES("")], [NAMES("#users/")], [], utf8=False),
            b'NAMESPACE (("" "/")) (("#users/" "/")) NIL',
        ),
        (
            untagged.status(
                "a", {StatusItem.MESSAGES: 3, StatusItem.MAILBOXID: "M", StatusItem.APPENDLIMIT: None}, utf8=False
            ),
            b'STATUS "a" (MESSAGES 3 MAILBOXID (M) APPENDLIMIT NIL)',
        ),
        (untagged.search([]), b"SEARCH"),
        (untagged.search([2, 5], 9), b"SEARCH 2 5 (MODSEQ 9)"),
        (untagged.sort([5, 2]), b"SORT 5 2"),
        (untagged.extended_search("a", untagged.SearchResult(count=0), uid=False), b'ESEARCH (TAG "a") COUNT 0'),
        (
            untagged.extended_search(
                'a"',
                untagged.SearchResult(2, 9, NumberSet(((2, 4), (9, 9))), 4, (PartialRange(1, 2), [2, 3]), 77),
                uid=True,
            ),
            b'ESEARCH (TAG "a\\"") UID MIN 2 MAX 9 COUNT 4 ALL 2:4,9 PARTIAL (1:2 2:3) MODSEQ 77',
        ),
        (
            untagged.extended_search("a", untagged.SearchResult(partial=(PartialRange(-1, -5), [])), uid=True),
            b'ESEARCH (TAG "a") UID PARTIAL (-1:-5 NIL)',
        ),
        (
            untagged.extended_search("a", untagged.SearchResult(all=[7, 3, 4]), uid=True),
            b'ESEARCH (TAG "a") UID ALL 7,3:4',
        ),
        (
            untagged.search_update(
                "a", uid=True, removed=[(0, NumberSet(((5, 5),)))], added=[(0, NumberSet(((7, 8),)))]
            ),
            b'ESEARCH (TAG "a") UID REMOVEFROM (0 5) ADDTO (0 7:8)',
        ),
        (untagged.quota("", [("STORAGE", 10, 512)]), b'QUOTA "" (STORAGE 10 512)'),
        (untagged.quota_root("INBOX", [""], utf8=False), b'QUOTAROOT "INBOX" ""'),
        (untagged.acl("a", [("bob", "lrs"), ("x y", "")], utf8=False), b'ACL "a" bob "lrs" "x y" ""'),
        (untagged.list_rights("a", "bob", "", ["l", "kx"], utf8=False), b'LISTRIGHTS "a" bob "" "l" "kx"'),
        (untagged.my_rights("a", "lr", utf8=False), b'MYRIGHTS "a" "lr"'),
        (
            untagged.metadata("", [("/shared/a", b"x"), ("/shared/b", None)], utf8=False),
            b'METADATA "" (/shared/a "x" /shared/b NIL)',
        ),
        (untagged.metadata("", [("/shared/a", b"\0")], utf8=False), b'METADATA "" (/shared/a ~{1}\r\n\0)'),
        (untagged.metadata_changed("a", ["/shared/a"], utf8=False), b'METADATA "a" /shared/a'),
    ],
)
def test_data_responses(line: bytes, expected: bytes) -> None:
    assert line == b"* " + expected + b"\r\n"


def test_nothing_vanished_is_nothing_sent() -> None:
    assert untagged.vanished(NumberSet()) == b""


def node(number: int, *children: ThreadNode) -> ThreadNode:
    message = ThreadMessage(number, datetime(2024, 1, 1, tzinfo=UTC)) if number else None
    return ThreadNode(message, list(children))


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        ([], b"* THREAD\r\n"),
        ([node(2), node(3)], b"* THREAD (2)(3)\r\n"),
        # RFC 5256 §4
        (
            [node(2), node(3, node(6, node(4, node(23)), node(44, node(7, node(96)))))],
            b"* THREAD (2)(3 6 (4 23)(44 7 96))\r\n",
        ),
        ([node(0, node(3), node(5))], b"* THREAD ((3)(5))\r\n"),
    ],
)
def test_threads(threads: list[ThreadNode], expected: bytes) -> None:
    assert untagged.thread(threads) == expected


def test_a_very_deep_thread_can_be_written() -> None:
    root = node(1)
    last = root
    for number in range(2, 20_000):
        last.children = [node(number)]
        last = last.children[0]
    assert untagged.thread([root]).endswith(b"19999)\r\n")
