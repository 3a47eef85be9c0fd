# SPDX-License-Identifier: MIT
"""Messages that stream through the machine: APPEND in all its forms, and REPLACE."""

from __future__ import annotations

import pytest

from mailserver.errors import ProtocolViolation
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.append import Offer
from protocols.imap.arguments import NewMessage, TextPart, UrlPart
from protocols.imap.events import (
    CommandReceived,
    Event,
    LiteralAnnounced,
    MessageEnded,
    MessageOffered,
    MessagePiece,
    Signal,
)
from protocols.imap.limits import USER
from protocols.imap.machine import Machine
from tests.unit.imap.talking import machine, next_command


def events(talk: Machine) -> list[Event]:
    """All of them, giving leave for every literal; pieces of one message joined."""
    found: list[Event] = []
    while True:
        event = talk.next_event()
        if event in (Signal.NEED_DATA, Signal.PAUSED):
            return found
        if isinstance(event, MessageOffered | LiteralAnnounced):
            talk.send(replies.Proceed())
        if isinstance(event, MessagePiece) and found and isinstance(found[-1], MessagePiece):
            found[-1] = MessagePiece(found[-1].data + event.data)
        else:
            found.append(event)


def test_a_message_streams_through() -> None:
    talk = machine()
    talk.receive(b'a APPEND {3}\r\nx y (\\Seen) "01-Feb-2024 00:00:00 +0000" {1000000}\r\n')
    offered = events(talk)[-1]
    assert isinstance(offered, MessageOffered)
    assert (offered.offer.mailbox, offered.offer.size, offered.synchronising) == ("x y", 1_000_000, True)
    assert offered.offer.message.flags == {"\\Seen"}
    for _ in range(1000):
        talk.receive(b"m" * 1000)
        piece = talk.next_event()
        assert isinstance(piece, MessagePiece)
        assert len(piece.data) == 1000
        assert not talk._incoming
    assert isinstance(talk.next_event(), MessageEnded)
    talk.receive(b"\r\n")
    command = next_command(talk)
    assert isinstance(command, c.Append)
    assert command.messages[0].parts == (TextPart(1_000_000),)


def test_multiappend() -> None:
    talk = machine()
    talk.receive(b"a APPEND x {2+}\r\nab (\\Draft) {0+}\r\n ~{3+}\r\n\0de\r\n")
    found = events(talk)
    assert [event.offer.index for event in found if isinstance(event, MessageOffered)] == [0, 1, 2]
    assert [event.data for event in found if isinstance(event, MessagePiece)] == [b"ab", b"\0de"]
    command = found[-1]
    assert isinstance(command, CommandReceived)
    assert command.command == c.Append(
        "a",
        "x",
        (
            NewMessage(parts=(TextPart(2),)),
            NewMessage(frozenset({"\\Draft"}), parts=(TextPart(0),)),
            NewMessage(parts=(TextPart(3),), binary=True),
        ),
    )


def test_catenate() -> None:
    talk = machine()
    talk.receive(b'a APPEND x CATENATE (URL "/a;UID=1" TEXT {2+}\r\nab URL {3+}\r\nurl text {1+}\r\nc)\r\n')
    found = events(talk)
    assert [event.data for event in found if isinstance(event, MessagePiece)] == [b"ab", b"c"]
    parts = (UrlPart("/a;UID=1"), TextPart(2), UrlPart("url"), TextPart(1))
    assert found[-1] == CommandReceived(c.Append("a", "x", (NewMessage(parts=parts, catenated=True),)))


def test_utf8_append_and_replace() -> None:
    talk = machine()
    talk.receive(b"a UID REPLACE 7 x UTF8 (~{2+}\r\nab)\r\n")
    found = events(talk)
    message = NewMessage(parts=(TextPart(2),), utf8=True, binary=True)
    assert found[-1] == CommandReceived(c.Replace("a", True, 7, "x", message))
    offered = found[0]
    assert isinstance(offered, MessageOffered)
    assert (offered.offer.replaces, offered.offer.uid) == (7, True)


def test_replace_takes_one_message() -> None:
    talk = machine()
    talk.receive(b"a REPLACE 7 x {2+}\r\nab {2+}\r\ncd\r\nb NOOP\r\n")
    with pytest.raises(ProtocolViolation, match="Unexpected"):
        events(talk)
    assert next_command(talk) == c.Noop("b")


@pytest.mark.parametrize("mark", [b"{5}", b"{5+}"])
def test_an_offer_can_be_refused(mark: bytes) -> None:
    """A waiting client keeps its message; from the other it is passed over."""
    talk = machine()
    talk.receive(b"a APPEND x " + mark + b"\r\n")
    assert isinstance(talk.next_event(), MessageOffered)
    refusal = replies.Completion("a", replies.Status.NO, "no such mailbox", b"TRYCREATE")
    assert talk.send(refusal) == b"a NO [TRYCREATE] no such mailbox\r\n"
    if b"+" in mark:
        talk.receive(b"hello {3+}\r\nabc\r\n")
    talk.receive(b"b NOOP\r\n")
    assert next_command(talk) == c.Noop("b")


def test_too_much_that_was_refused_ends_the_connection() -> None:
    talk = machine()
    talk.receive(b"a APPEND x {%d+}\r\n" % (USER.passed_over_bytes + 1))
    assert isinstance(talk.next_event(), MessageOffered)
    with pytest.raises(ProtocolViolation) as caught:
        talk.send(replies.Completion("a", replies.Status.NO, "too big", b"TOOBIG"))
    assert not caught.value.may_continue


def test_rubbish_after_a_message_ends_the_append() -> None:
    talk = machine()
    talk.receive(b"a APPEND x {2+}\r\nabrubbish\r\nb NOOP\r\n")
    with pytest.raises(ProtocolViolation):
        events(talk)
    assert next_command(talk) == c.Noop("b")


def test_an_offer_says_all_that_is_known() -> None:
    talk = machine()
    talk.receive(b"a APPEND inbox {7}\r\n")
    offered = talk.next_event()
    assert offered == MessageOffered(Offer("a", "INBOX", NewMessage(), 7, 0), synchronising=True)
