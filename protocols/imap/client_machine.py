# SPDX-License-Identifier: MIT
"""A session with an IMAP4 server, from our side: bytes in, what it says out; commands in, bytes out.

RFC 9051 §2.2, §3, §4.3, §5.5, §7. Pure. Three verbs: `receive(bytes)`; `next_event()`, which gives a response, a piece
of a message, or NEED_DATA; `send(command)`, which gives bytes. A message's text is never whole in memory: the literal
behind `BODY[]` comes as BodyBegins and BodyPieces, before the FetchedItems that it belongs to. Everything else that a
server sends is bounded, and breaking the protocol raises ProtocolViolation, after which nothing more is to be expected.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from mailserver.errors import ProtocolViolation
from protocols.imap.client_grammar import (
    BODY_LITERAL,
    LITERAL_MARK,
    STREAMED,
    BadResponse,
    Capabilities,
    Command,
    Condition,
    Continuation,
    Literal,
    Piece,
    Response,
    parse_response,
)

MAX_LINE_BYTES = 1024 * 1024
"""SEARCH answers in one line: 100,000 UIDs of nine digits fit."""
MAX_RESPONSE_BYTES = 2 * 1024 * 1024
"""With its literals, but for the message itself: headers, and folder names."""
MAX_BODY_BYTES = 2**40
"""A literal that claims more is no message."""


@dataclass(frozen=True, slots=True)
class BodyBegins:
    """A message's text follows, of so many bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class BodyPiece:
    """Some of it."""

    data: bytes


class NeedData:
    """Nothing can be told before more has arrived."""


NEED_DATA = NeedData()
Event = Response | BodyBegins | BodyPiece | NeedData

_CODE_CAPABILITIES = re.compile(r"\S+")


class ClientMachine:
    """One connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._pieces: list[Piece] = []
        self._gathered = 0
        self._literal = 0
        """Bytes of a small literal that are still to come, with `_in_literal`."""
        self._in_literal = False
        self._body_left: int | None = None
        self._had_body = False
        self._greeted = False
        self._tags = 0
        self._waiting: dict[bytes, Command] = {}
        self._unsent: deque[bytes] = deque()
        self.capabilities: frozenset[str] | None = None
        """None until the server has told, and again after what changes them."""

    def receive(self, data: bytes) -> None:
        """What has arrived."""
        self._buffer += data

    @property
    def has_bytes(self) -> bool:
        """Something has come that was not asked for yet. Before TLS begins, nothing may have."""
        return bool(self._buffer or self._pieces)

    def send(self, command: Command) -> tuple[bytes, bytes]:
        """The tag under which the answer will come, and what to write now; more of it may have to wait for the server
        (`go_on`). A command that continues, or has literals, stands alone until it is answered."""
        assert self._greeted, "the server speaks first"
        assert not self._asks, "the command before has not been finished"
        self._tags += 1
        tag = b"a%d" % self._tags
        self._waiting[tag] = command
        segments = _segments(tag, command)
        self._unsent.extend(segments[1:])
        return tag, segments[0]

    def go_on(self) -> bytes | None:
        """After a Continuation: the rest of a command that had literals in it; None when the server asks for an answer
        that the command's owner has to give."""
        return self._unsent.popleft() if self._unsent else None

    def forget_capabilities(self) -> None:
        """After TLS and after a login they are others (RFC 9051 §6.2.1, §6.2.2)."""
        self.capabilities = None

    def next_event(self) -> Event:
        """Raises ProtocolViolation."""
        if self._body_left is not None:
            return self._next_piece()
        try:
            pieces = self._next_response()
            if not isinstance(pieces, list):
                return pieces
            event = parse_response(pieces)
        except BadResponse as error:
            raise _violation(str(error)) from None
        return self._admit(event)

    # ------------------------------------------------------------ inside

    @property
    def _asks(self) -> bool:
        return bool(self._unsent) or any(command.continues for command in self._waiting.values())

    def _next_piece(self) -> Event:
        assert self._body_left is not None
        if self._body_left and not self._buffer:
            return NEED_DATA
        data = bytes(memoryview(self._buffer)[: self._body_left])
        del self._buffer[: len(data)]
        self._body_left -= len(data)
        if not self._body_left:
            self._body_left = None
        return BodyPiece(data)

    def _next_response(self) -> list[Piece] | BodyBegins | NeedData:
        while True:
            if self._in_literal and not self._take_literal():
                return NEED_DATA
            line = self._take_line()
            if line is None:
                return NEED_DATA
            mark = LITERAL_MARK.search(line)
            if mark is None:
                pieces = [*self._pieces, line.rstrip(b"\r\n")]
                self._pieces, self._gathered, self._had_body = [], 0, False
                return pieces
            begins = self._begin_literal(line[: mark.start()], int(mark[1]))
            if begins is not None:
                return begins

    def _begin_literal(self, text: bytes, size: int) -> BodyBegins | None:
        before = b"".join(piece for piece in [*self._pieces[::2], text] if isinstance(piece, bytes))
        if BODY_LITERAL.match(before):
            if self._had_body or size > MAX_BODY_BYTES:
                raise _violation("a FETCH response has two messages, or one without end")
            self._had_body = True
            self._pieces += [text, STREAMED]
            self._body_left = size
            return BodyBegins(size)
        if self._gathered + size > MAX_RESPONSE_BYTES:
            raise _violation("a response is too long")
        self._pieces.append(text)
        self._literal, self._in_literal = size, True
        return None

    def _take_literal(self) -> bool:
        if len(self._buffer) < self._literal:
            return False
        self._pieces.append(bytes(memoryview(self._buffer)[: self._literal]))
        del self._buffer[: self._literal]
        self._gathered += self._literal
        self._in_literal = False
        return True

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._scanned)
        size = len(self._buffer) if end < 0 else end + 1
        if size > MAX_LINE_BYTES or self._gathered + size > MAX_RESPONSE_BYTES:
            raise _violation("a response is too long")
        if end < 0:
            self._scanned = size
            return None
        line = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self._scanned = 0
        self._gathered += size
        return line

    def _admit(self, event: Response) -> Response:
        """Whether it may be said now."""
        if not self._greeted:
            if not isinstance(event, Condition) or event.tag or event.status not in ("OK", "PREAUTH", "BYE"):
                raise _violation("the greeting is none of IMAP4")
            self._greeted = True
        if isinstance(event, Continuation) and not self._asks:
            raise _violation("the server asks to go on with nothing")
        if isinstance(event, Condition) and event.tag:
            if self._waiting.pop(event.tag, None) is None:
                raise _violation("the answer to a command that nobody gave")
            self._unsent.clear()
        if isinstance(event, Capabilities):
            self.capabilities = event.names
        if isinstance(event, Condition) and event.code == "CAPABILITY":
            self.capabilities = frozenset(_CODE_CAPABILITIES.findall(event.argument.upper()))
        return event


def _segments(tag: bytes, command: Command) -> list[bytes]:
    """What is written at once: up to each literal, whose bytes begin the next."""
    segments = [tag]
    for part in command.parts:
        if isinstance(part, Literal):
            segments[-1] += b" {%d}\r\n" % len(part.value)
            segments.append(part.value)
        else:
            segments[-1] += b" " + part
    segments[-1] += b"\r\n"
    return segments


def _violation(note: str) -> ProtocolViolation:
    return ProtocolViolation(b"", may_continue=False, note=note)
