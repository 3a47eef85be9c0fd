# SPDX-License-Identifier: MIT
"""From bytes to commands: what is refused first, then what is meant."""

import re
from datetime import UTC, date, datetime

import pytest

from mailserver.mime.sections import Section, SectionText
from mailserver.mime.sorting import SortCriterion, SortKey
from mailserver.values import Flag
from protocols.imap import commands as c
from protocols.imap import search_keys as k
from protocols.imap.arguments import (
    FlagsChange,
    ListReturn,
    ListSelection,
    MetadataOptions,
    Resync,
    RightsChange,
    StatusItem,
    ThreadAlgorithm,
)
from protocols.imap.fetch_items import Attribute, BinarySection, BinarySize, BodySection, Extent, Preview
from protocols.imap.grammar import BARE, PARSERS, parse_command, read_head
from protocols.imap.lexer import GrammarError, Lexer
from protocols.imap.notify import Event, EventGroup, Watch
from protocols.imap.sequence import STAR, PartialRange, SequenceSet


def pieces(text: bytes) -> list[bytes]:
    """`|` ends a line or a literal: `a LOGIN {3}|bob| x` has one literal."""
    return text.split(b"|")


def one(number: int) -> SequenceSet:
    return SequenceSet(((number, number),))


BROKEN = [
    b"", b" ", b"a", b"a ", b"+ NOOP", b"a\x01 NOOP", b"(a NOOP", b"* NOOP", b"a\xe9 NOOP", b'"a" NOOP', b"a FOO",
    b"a UID", b"a UID NOOP", b"a __init__", b"a NOOP x", b"a CAPABILITY {3}|abc|", b"a LOGIN", b"a LOGIN bob",
    b"a LOGIN bob x y", b'a LOGIN "bob x', b'a LOGIN "b\\ob" x', b"a LOGIN bob {3}", b"a LOGIN bob\tx",
    b"a LOGIN {1}|\xff| x", b"a LOGIN {1}|\x00| x", b"a LOGIN ~{1}|b| x", b"a LOGIN (bob) x", b"a LOGIN bob x]%",
    b"a LOGINbob x", b"a AUTHENTICATE", b"a AUTHENTICATE PLAIN !", b"a AUTHENTICATE PLAIN AA",
    b"a AUTHENTICATE PLAIN A=A=", b"a AUTHENTICATE PLAIN  ", b"a AUTHENTICATE PLAIN AAAA BBBB",
    b"a AUTHENTICATE {5}|PLAIN|", b"a ID", b"a ID ()x", b'a ID ("a")', b'a ID ("a" "b" "c")', b"a ID (NIL NIL)",
    b"a ENABLE", b"a ENABLE (X)", b"a SELECT", b"a SELECT a b", b"a SELECT &", b"a EXAMINE {8}|Entw&APw|",
    b'a SELECT "R&D"', b"a SELECT \xc3\xa4", b"a SELECT a (FOO)", b"a SELECT a (QRESYNC)",
    b"a SELECT a (QRESYNC (0 5))", b"a SELECT a (QRESYNC (1 0))", b"a SELECT a (QRESYNC (1 5 1:*))",
    b"a SELECT a (QRESYNC (1 5 $))", b"a SELECT a (QRESYNC (1 5 1:3 (1 2 3)))", b"a SELECT a ()",
    b"a SELECT a(CONDSTORE)", b"a SELECT a (QRESYNC (1 9223372036854775808))", b"a CREATE",
    b"a CREATE a (USE \\Sent)", b"a CREATE a (USE (Sent))", b"a CREATE a (FOO)", b"a RENAME a", b"a LIST",
    b'a LIST ""', b'a LIST "" (', b'a LIST "" ()', b'a LIST "" a b', b'a LIST (FOO) "" a',
    b'a LIST (RECURSIVEMATCH) "" a', b'a LIST (RECURSIVEMATCH REMOTE) "" a', b'a LIST "" a RETURN',
    b'a LIST "" a RETURN (FOO)', b'a LIST "" a RETURN (STATUS)', b'a LIST "" a RETURN (STATUS ())',
    b'a LIST "" a RETURN (METADATA)', b"a STATUS a", b"a STATUS a MESSAGES", b"a STATUS a ()", b"a STATUS a (FOO)",
    b"a NAMESPACE x", b"a IDLE x", b"a GETQUOTA", b'a SETQUOTA ""', b'a SETQUOTA "" (STORAGE)',
    b'a SETQUOTA "" (STORAGE x)', b"a SETACL a b", b"a SETACL a b lrZ", b"a SETACL a b l;r", b"a SETACL a b ++l",
    b'a SETACL a "" l', b"a DELETEACL a", b"a GETMETADATA a", b"a GETMETADATA a /comment", b"a GETMETADATA a /shared",
    b"a GETMETADATA a /shared/", b"a GETMETADATA a /shared//x", b'a GETMETADATA a "/shared/*"',
    b"a GETMETADATA (DEPTH 2) a /shared/x", b"a GETMETADATA (FOO 1) a /shared/x", b"a SETMETADATA a ()",
    b"a SETMETADATA a (/shared/x)", b"a SETMETADATA a (/shared/x y)", b"a NOTIFY", b"a NOTIFY SET", b"a NOTIFY FOO",
    b"a NOTIFY SET (foo NONE)", b"a NOTIFY SET (selected (MailboxName))", b"a NOTIFY SET (personal (MessageNew))",
    b"a NOTIFY SET (personal (FlagChange MessageNew))", b"a NOTIFY SET (subtree NONE)", b"a NOTIFY SET (personal ())",
    b"a NOTIFY SET (selected NONE) (selected-delayed NONE)", b"a COMPRESS", b"a FETCH", b"a FETCH 1", b"a FETCH 1 ()",
    b"a FETCH 0 FLAGS", b"a FETCH 1 FOO", b"a FETCH 1 (FLAGS", b"a FETCH 1 (FLAGS  )x", b"a FETCH 1 FLAGS UID",
    b"a FETCH 1 (ALL)", b"a FETCH 1 BODY[", b"a FETCH 1 BODY[FOO]", b"a FETCH 1 BODY[MIME]", b"a FETCH 1 BODY[0]",
    b"a FETCH 1 BODY[1.]", b"a FETCH 1 BODY[.1]", b"a FETCH 1 BODY[HEADER.FIELDS]",
    b"a FETCH 1 BODY[HEADER.FIELDS ()]", b"a FETCH 1 BODY[]<0>", b"a FETCH 1 BODY[]<0.0>", b"a FETCH 1 BODY[]<-1.5>",
    b"a FETCH 1 BINARY[TEXT]", b"a FETCH 1 BINARY.SIZE[1]<0.5>", b"a FETCH 1 BODYSTRUCTURE[]",
    b"a FETCH 1 PREVIEW (EAGER)", b"a FETCH 1 BODY[" + b"1." * 100 + b"1]", b"a FETCH 1 FLAGS (CHANGEDSINCE 0)",
    b"a FETCH 1 FLAGS (VANISHED)", b"a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", b"a UID FETCH 1 FLAGS (VANISHED)",
    b"a FETCH 1 FLAGS (PARTIAL 1:2)", b"a UID FETCH 1 FLAGS (PARTIAL 1:-2)", b"a UID FETCH 1 FLAGS (PARTIAL 0:2)",
    b"a UID FETCH 1 FLAGS (FOO)", b"a STORE 1 FLAGS", b"a STORE 1 FOO (\\Seen)", b"a STORE 1 FLAGS.LOUD ()",
    b"a STORE 1 FLAGS (\\Foo)", b"a STORE 1 (FOO 1) FLAGS ()", b"a STORE 1 FLAGS (\\Seen", b"a STORE 1 FLAGS (a(b)",
    b"a COPY 1", b"a COPY a b", b"a MOVE 1:x a", b"a UID EXPUNGE", b"a EXPUNGE 1", b"a SEARCH", b"a SEARCH FOO",
    b"a SEARCH (", b"a SEARCH ()", b"a SEARCH NOT", b"a SEARCH OR ALL", b"a SEARCH SUBJECT", b"a SEARCH BEFORE",
    b"a SEARCH BEFORE 32-Jan-2020", b"a SEARCH BEFORE 29-Feb-2023", b"a SEARCH ON 1-Foo-2020",
    b'a SEARCH ON "1-Jan-2020', b"a SEARCH ON 1-Jan-0000", b"a SEARCH LARGER -1", b"a SEARCH YOUNGER 0",
    b"a SEARCH MODSEQ", b'a SEARCH MODSEQ "/flags/x" foo 1', b"a SEARCH KEYWORD \\Seen", b"a SEARCH RETURN ALL",
    b"a SEARCH RETURN (FOO) ALL", b"a SEARCH RETURN (PARTIAL) ALL", b"a SEARCH RETURN (ALL PARTIAL 1:2) ALL",
    b"a SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", b"a SEARCH CHARSET", b"a SEARCH CHARSET UTF-8",
    b"a SEARCH TEXT {1}|\xff|", b"a SEARCH CHARSET US-ASCII TEXT {2}|\xc3\xa4|", b"a SORT", b"a SORT () UTF-8 ALL",
    b"a SORT (FOO) UTF-8 ALL", b"a SORT (REVERSE) UTF-8 ALL", b"a SORT (DATE) ALL", b"a THREAD FOO UTF-8 ALL",
    b"a THREAD REFERENCES UTF-8", b"a CANCELUPDATE", b"a CANCELUPDATE x",
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_not_in_the_grammar_is_refused(text: bytes) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_command(pieces(text))
    assert caught.value.reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"a SEARCH CHARSET klingon ALL", "BADCHARSET (UTF-8 "),
        (b"a SORT (DATE) idna ALL", "BADCHARSET (UTF-8 "),
        (b"a NOTIFY SET (personal (Weather))", "BADEVENT (MessageNew "),
        (b"a GETMETADATA a (" + b" ".join(b"/shared/%d" % n for n in range(101)) + b")", "METADATA TOOMANY"),
        (b"a SEARCH " + b"(" * 5000 + b"ALL" + b")" * 5000, "LIMIT"),
        (b"a SEARCH " + b"NOT " * 5000 + b"ALL", "LIMIT"),
        (b"a SEARCH " + b"ALL " * 5001, "LIMIT"),
        (b"a SEARCH " + b"OR ALL " * 5000 + b"ALL", "LIMIT"),
    ],
)
def test_some_refusals_have_a_code_and_are_no(text: bytes, code: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_command([text])
    assert caught.value.code.startswith(code)
    assert caught.value.no


MEANT: list[tuple[bytes, c.Command]] = [
    (b"a noop", c.Noop("a")),
    (b"a NOOP ", c.Noop("a")),
    (b"!#$&',-./<=>?@[]^_`}~ CAPABILITY", c.Capability("!#$&',-./<=>?@[]^_`}~")),
    (b"1 Logout", c.Logout("1")),
    (b"a ID NIL", c.Id("a", None)),
    (b"a ID ()", c.Id("a", ())),
    (b'a ID ("name" "x" "os" NIL)', c.Id("a", (("name", "x"), ("os", None)))),
    (b"a AUTHENTICATE plain", c.Authenticate("a", "PLAIN")),
    (b"a AUTHENTICATE PLAIN =", c.Authenticate("a", "PLAIN", b"")),
    (b"a AUTHENTICATE SCRAM-SHA-256 AGEAYg==", c.Authenticate("a", "SCRAM-SHA-256", b"\0a\0b")),
    (b"a LOGIN bob secret", c.Login("a", "bob", "secret")),
    (b'a LOGIN "b\\"o\\\\b" ""', c.Login("a", 'b"o\\b', "")),
    (b"a LOGIN {3}|b b| {2+}|\xc3\xa4|", c.Login("a", "b b", "ä")),
    (b"a LOGIN bo]b NIL", c.Login("a", "bo]b", "NIL")),
    (b"a  LOGIN  bob  secret", c.Login("a", "bob", "secret")),
    (b"a ENABLE imap4rev2 X", c.Enable("a", ("IMAP4REV2", "X"))),
    (b"a SELECT inbox", c.Select("a", "INBOX")),
    (b"a SELECT NIL", c.Select("a", "NIL")),
    (b"a EXAMINE {9}|Entw&APw-|", c.Select("a", "Entwü", read_only=True)),
    (b"a SELECT a (CONDSTORE)", c.Select("a", "a", condstore=True)),
    (b"a SELECT a (QRESYNC (7 9))", c.Select("a", "a", resync=Resync(7, 9))),
    (
        b"a SELECT a (QRESYNC (7 9 1:3 (1 2)))",
        c.Select("a", "a", resync=Resync(7, 9, SequenceSet(((1, 3),)), (one(1), one(2)))),
    ),
    (b"a SELECT a (QRESYNC (7 9 (1 2)))", c.Select("a", "a", resync=Resync(7, 9, None, (one(1), one(2))))),
    (b"a CREATE a/", c.Create("a", "a")),
    (b"a CREATE a (USE (\\sent \\Trash))", c.Create("a", "a", ("\\Sent", "\\Trash"))),
    (b"a CREATE a (USE ())", c.Create("a", "a")),
    (b'a RENAME "a b" c', c.Rename("a", "a b", "c")),
    (b'a LIST "" ""', c.List("a", "", ("",))),
    (b'a LIST "" %', c.List("a", "", ("%",))),
    (b"a LIST a/ *b]%", c.List("a", "a/", ("*b]%",))),
    (
        b'a LIST (SUBSCRIBED RECURSIVEMATCH) "" (a "b c") RETURN (CHILDREN MYRIGHTS STATUS (MESSAGES MESSAGES))',
        c.List(
            "a",
            "",
            ("a", "b c"),
            frozenset({ListSelection.SUBSCRIBED, ListSelection.RECURSIVEMATCH}),
            ListReturn(children=True, my_rights=True, status=(StatusItem.MESSAGES,)),
            extended=True,
        ),
    ),
    (b'a LIST () "" a RETURN ()', c.List("a", "", ("a",), extended=True)),
    (
        b'a LIST "" a RETURN (METADATA (DEPTH 1) (/shared/a) SPECIAL-USE)',
        c.List(
            "a",
            "",
            ("a",),
            returns=ListReturn(special_use=True, metadata=("/shared/a",), metadata_options=MetadataOptions(depth=1)),
            extended=True,
        ),
    ),
    (b'a LSUB "" %/x', c.Lsub("a", "", "%/x")),
    (b"a STATUS a (uidnext MAILBOXID)", c.Status("a", "a", (StatusItem.UIDNEXT, StatusItem.MAILBOXID))),
    (b'a SETQUOTA "" (STORAGE 512)', c.SetQuota("a", "", (("STORAGE", 512),))),
    (b'a SETQUOTA "" ()', c.SetQuota("a", "", ())),
    (b"a SETACL a bob +lrs", c.SetAcl("a", "a", "bob", RightsChange.ADD, "lrs")),
    (b'a SETACL a -bob ""', c.SetAcl("a", "a", "-bob", RightsChange.REPLACE, "")),
    (b"a GETACL a", c.GetAcl("a", "a")),
    (b"a LISTRIGHTS a bob", c.ListRights("a", "a", "bob")),
    (b'a GETMETADATA "" /shared/Admin', c.GetMetadata("a", "", ("/shared/admin",))),
    (
        b"a GETMETADATA (MAXSIZE 9 DEPTH infinity) a (/shared/b /private/c)",
        c.GetMetadata("a", "a", ("/shared/b", "/private/c"), MetadataOptions(9, None)),
    ),
    (b"a GETMETADATA a (DEPTH 1) /shared/b", c.GetMetadata("a", "a", ("/shared/b",), MetadataOptions(depth=1))),
    (
        b'a SETMETADATA a (/private/b "x" /private/c NIL /private/d ~{2}|\x00y|)',
        c.SetMetadata("a", "a", (("/private/b", b"x"), ("/private/c", None), ("/private/d", b"\x00y"))),
    ),
    (b"a NOTIFY NONE", c.Notify("a")),
    (
        b"a NOTIFY SET STATUS (selected-delayed (MessageNew (UID) MessageExpunge)) (mailboxes (a b) NONE)",
        c.Notify(
            "a",
            (
                EventGroup(
                    Watch.SELECTED_DELAYED,
                    (),
                    frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE}),
                    (Attribute.UID,),
                ),
                EventGroup(Watch.MAILBOXES, ("a", "b")),
            ),
            status=True,
        ),
    ),
    (b"a COMPRESS deflate", c.Compress("a", "DEFLATE")),
    (b"a EXPUNGE", c.Expunge("a")),
    (b"a UID EXPUNGE 5", c.Expunge("a", one(5))),
    (
        b"a FETCH 1 ALL",
        c.Fetch("a", False, one(1), (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE)),
    ),
    (b"a FETCH 1 (UID UID FLAGS)", c.Fetch("a", False, one(1), (Attribute.UID, Attribute.FLAGS))),
    (b"a FETCH $ PREVIEW", c.Fetch("a", False, SequenceSet(saved=True), (Preview(),))),
    (b"a FETCH 1 (PREVIEW (LAZY) UID)", c.Fetch("a", False, one(1), (Preview(lazy=True), Attribute.UID))),
    (b"a FETCH 1 RFC822", c.Fetch("a", False, one(1), (BodySection(Section(), "RFC822"),))),
    (b"a FETCH 1 BODY", c.Fetch("a", False, one(1), (Attribute.BODY,))),
    (b"a uid fetch 1:* body[]", c.Fetch("a", True, SequenceSet(((1, STAR),)), (BodySection(Section(), "BODY[]"),))),
    (
        b"a FETCH 1 body.peek[1.mime]<5.10>",
        c.Fetch(
            "a", False, one(1), (BodySection(Section((1,), SectionText.MIME), "BODY[1.MIME]<5>", True, Extent(5, 10)),)
        ),
    ),
    (
        b"a FETCH 1 (BODY[HEADER.FIELDS.NOT (To {3}|c c|)] BINARY[1.2]<0.7> BINARY.SIZE[])",
        c.Fetch(
            "a",
            False,
            one(1),
            (
                BodySection(Section((), SectionText.FIELDS_NOT, ("To", "c c")), 'BODY[HEADER.FIELDS.NOT (To "c c")]'),
                BinarySection((1, 2), "BINARY[1.2]<0>", False, Extent(0, 7)),
                BinarySize((), "BINARY.SIZE[]"),
            ),
        ),
    ),
    (
        b"a UID FETCH 1 UID (CHANGEDSINCE 9 VANISHED PARTIAL -1:-5)",
        c.Fetch("a", True, one(1), (Attribute.UID,), 9, True, PartialRange(-1, -5)),
    ),
    (
        b"a STORE 1 +flags.silent (\\sEEN $FORWARDED Foo \\Recent)",
        c.Store("a", False, one(1), FlagsChange.ADD, frozenset({Flag.SEEN, "$Forwarded", "Foo"}), silent=True),
    ),
    (
        b"a UID STORE 1 (UNCHANGEDSINCE 0) FLAGS ()",
        c.Store("a", True, one(1), FlagsChange.REPLACE, frozenset(), False, 0),
    ),
    (b"a STORE 1 -FLAGS \\Seen b", c.Store("a", False, one(1), FlagsChange.REMOVE, frozenset({Flag.SEEN, "b"}))),
    (b"a COPY 1 inbox", c.Copy("a", False, one(1), "INBOX")),
    (b"a UID MOVE 1 a", c.Move("a", True, one(1), "a")),
    (b"a SEARCH ALL", c.Search("a", False, k.And())),
    (b"a UID SEARCH UNSEEN 5", c.Search("a", True, k.And((k.Not(k.HasFlag(Flag.SEEN)), k.InNumbers(one(5)))))),
    (
        b"a SEARCH RETURN () NEW",
        c.Search("a", False, k.And((k.IsRecent(), k.Not(k.HasFlag(Flag.SEEN)))), k.SearchReturn()),
    ),
    (
        b"a SEARCH RETURN (SAVE COUNT PARTIAL 1:9) $",
        c.Search(
            "a",
            False,
            k.InNumbers(SequenceSet(saved=True)),
            k.SearchReturn(frozenset({k.ReturnOption.SAVE, k.ReturnOption.COUNT}), PartialRange(1, 9)),
        ),
    ),
    (
        b'a SEARCH OR (FROM x TO "") OR SENTON 3-feb-2021 SAVEDSINCE "04-Mar-2021" NOT TEXT {2}|\xc3\xa4|',
        c.Search(
            "a",
            False,
            k.And(
                (
                    k.Or(
                        (
                            k.And((k.HasHeader("From", "x"), k.HasHeader("To", ""))),
                            k.HasDate(k.DateOf.SENT, k.When.ON, date(2021, 2, 3)),
                            k.HasDate(k.DateOf.SAVED, k.When.SINCE, date(2021, 3, 4)),
                        )
                    ),
                    k.Not(k.HasText("ä")),
                )
            ),
        ),
    ),
    (
        b"a SEARCH CHARSET iso-8859-1 BODY {1}|\xe4| HEADER X-A b KEYWORD $junk",
        c.Search("a", False, k.And((k.HasBody("ä"), k.HasHeader("X-A", "b"), k.HasFlag("$Junk")))),
    ),
    (
        b'a SEARCH LARGER 5 SMALLER 9 UID 3 OLDER 60 YOUNGER 5 MODSEQ "/flags/\\\\draft" all 7',
        c.Search(
            "a",
            False,
            k.And(
                (
                    k.HasSize(True, 5),
                    k.HasSize(False, 9),
                    k.InUids(one(3)),
                    k.IsWithin(False, 60),
                    k.IsWithin(True, 5),
                    k.HasModSeq(7),
                )
            ),
        ),
    ),
    (b"a SEARCH EMAILID M1 THREADID T1", c.Search("a", False, k.And((k.HasEmailId("M1"), k.HasThreadId("T1"))))),
    (
        b"a SORT (REVERSE DATE SUBJECT) utf-8 ALL",
        c.Sort("a", False, (SortCriterion(SortKey.DATE, True), SortCriterion(SortKey.SUBJECT)), k.And()),
    ),
    (b"a UID THREAD refs us-ascii ALL", c.Thread("a", True, ThreadAlgorithm.REFS, k.And())),
    (b'a CANCELUPDATE "x" "y"', c.CancelUpdate("a", ("x", "y"))),
]


@pytest.mark.parametrize(("text", "command"), MEANT, ids=[text.decode("latin-1") for text, _ in MEANT])
def test_what_a_command_means(text: bytes, command: c.Command) -> None:
    assert parse_command(pieces(text)) == command


def test_utf8_names_after_enabling() -> None:
    assert parse_command(['a SELECT "Ä&"'.encode()], utf8=True) == c.Select("a", "Ä&")


def test_alternatives_to_the_right_cost_no_depth() -> None:
    text = b"a SEARCH " + b"OR SUBJECT a " * 2000 + b"SUBJECT b"
    command = parse_command([text])
    assert isinstance(command, c.Search)
    assert isinstance(command.key, k.Or)
    assert len(command.key.keys) == 2001


def test_passwords_are_never_shown() -> None:
    assert "secret" not in repr(parse_command([b"a LOGIN bob secret"]))
    assert "secret" not in repr(c.Authenticate("a", "PLAIN", b"secret"))


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (b"a1 NOOP", ("a1", "NOOP")),
        (b"a uid fetch 1", ("a", "UID FETCH")),
        (b"a UID", ("a", "UID")),
        (b"a", ("a", "")),
        (b"", ("", "")),
        (b"x" * 201 + b" NOOP", ("", "")),
    ],
)
def test_the_head_of_a_line(text: bytes, head: tuple[str, str]) -> None:
    assert read_head(text)[:2] == head


def test_every_command_has_a_way_in() -> None:
    """APPEND and REPLACE have their own."""
    named = {re.sub("^UID ", "", name) for name in {*PARSERS, *BARE}} | {"APPEND", "REPLACE"}
    assert {command.NAME for command in c.Command.__subclasses__()} | {"EXAMINE"} == named


def test_a_date_is_kept_in_utc() -> None:
    assert Lexer([b'" 1-Feb-2024 23:30:60 -0130"']).date_time() == datetime(2024, 2, 2, 1, 0, 59, tzinfo=UTC)
