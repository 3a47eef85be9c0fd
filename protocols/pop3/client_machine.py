# SPDX-License-Identifier: MIT
"""What may be said when, on the client's side of POP3: commands in, bytes out; bytes in, replies and pieces out.

RFC 1939 §3 to §7, RFC 2449 §6.6 (PIPELINING), RFC 2595 §4 (STLS), RFC 5034 §4 (AUTH). Pure: knows no socket, clock or
service. Whatever bytes arrive, `next_event` gives events or raises ProtocolViolation, and nothing else; how the bytes
are cut never matters.

Quirk: a dot that begins a line is taken off only where two stand there. RFC 1939 §3 would take a single one off as
well; but only servers that forgot to double it send such a line, and with them the dot is the message's own.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from dataclasses import dataclass

from mailserver.errors import ProtocolViolation
from protocols.pop3.client_grammar import NotAStatus, Status, find_stamp, parse_challenge, parse_status
from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    List,
    ListMechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    SaslCancel,
    SaslResponse,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from protocols.pop3.grammar import format_command


class State(enum.Enum):
    """RFC 1939 §3's three states, and what lies between them."""

    GREETING = "greeting"
    AUTHORIZATION = "authorization"
    SASL = "sasl"
    """The server has asked something: only a response can be sent."""
    TLS = "tls"
    """STLS has been accepted; the handshake is due."""
    TRANSACTION = "transaction"
    CLOSED = "closed"


ALLOWED: dict[State, frozenset[type]] = {
    State.GREETING: frozenset(),
    State.AUTHORIZATION: frozenset({Capa, User, Pass, Apop, Auth, ListMechanisms, Stls, Utf8, Quit}),
    State.SASL: frozenset({SaslResponse, SaslCancel}),
    State.TLS: frozenset(),
    State.TRANSACTION: frozenset({Capa, Stat, List, Uidl, Retr, Top, Dele, Noop, Rset, Quit}),
    State.CLOSED: frozenset(),
}
"""What can be said in each state; saying anything else is a mistake of ours."""

AFTER_SUCCESS: dict[type, State] = {
    Pass: State.TRANSACTION,
    Apop: State.TRANSACTION,
    Auth: State.TRANSACTION,
    Stls: State.TLS,
    Quit: State.CLOSED,
}

MAX_LINE_BYTES = 2048
"""RFC 2449 §4 allows 512 for a status line; a few servers say more."""
MAX_CHALLENGE_BYTES = 12288
"""RFC 5034 §4."""


@dataclass(frozen=True, slots=True)
class NeedData:
    """Call `receive` and ask again."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server's first line; `stamp` is what APOP needs, empty where there is no APOP."""

    status: Status
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Replied:
    """The status line that answers `command`. If `opens_body`, pieces and an End follow."""

    command: Command
    status: Status
    opens_body: bool = False


@dataclass(frozen=True, slots=True)
class Challenge:
    """AUTH goes on: decoded data to respond to."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a multi-line answer, dots undone, cut anywhere."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The multi-line answer to `command` is complete."""

    command: Command


NEED_DATA = NeedData()
Event = NeedData | Greeting | Replied | Challenge | Piece | End

_END = b"\r\n.\r\n"
_UNDECIDED = re.compile(rb"(?:\r\n?|\n)(?:\.\r?)?\Z")
"""The last bytes of what has come, if what follows decides what they are."""


class Pop3ClientMachine:
    """One client connection. Several commands may wait for their answers at once, where the server allows it."""

    def __init__(self) -> None:
        self.state = State.GREETING
        self._buffer = bytearray()
        self._scanned = 0
        self._waiting: deque[Command] = deque()
        self._body: _BodyReader | None = None

    @property
    def waiting(self) -> int:
        """Commands that have not been answered wholly."""
        return len(self._waiting)

    def send(self, command: Command) -> bytes:
        """The bytes of a command that is allowed now."""
        assert type(command) in ALLOWED[self.state], f"{command.verb} in {self.state}"
        if self.state is State.SASL:
            self.state = State.AUTHORIZATION  # The AUTH that it belongs to still waits.
        else:
            self._waiting.append(command)
        return format_command(command)

    def receive(self, data: bytes) -> None:
        """Bytes from the server. Ask `next_event` until it wants more, and memory stays bounded by one read."""
        if self.state is not State.CLOSED:
            self._buffer += data

    def next_event(self) -> Event:
        """What the server has said. Raises ProtocolViolation: nothing that follows can be understood."""
        if self._body is not None:
            return self._next_piece(self._body)
        if self.state is State.TLS and self._buffer:
            raise self._violation("it sent something behind its answer to STLS, before TLS")
        line = self._next_line()
        if line is None:
            return NEED_DATA
        try:
            return self._read(line)
        except NotAStatus:
            raise self._violation(f"it sent {line[:60]!r} where an answer was due") from None

    def tls_started(self) -> None:
        """The handshake is done: everything that the server said before is forgotten (RFC 2595 §4)."""
        assert self.state is State.TLS
        self.state = State.AUTHORIZATION

    # ------------------------------------------------------------ inside

    def _read(self, line: bytes) -> Event:
        if self.state is State.GREETING:
            status = parse_status(line)
            self.state = State.AUTHORIZATION if status.ok else State.CLOSED
            return Greeting(status, find_stamp(line))
        if not self._waiting:
            raise self._violation(f"it said {line[:200].decode('utf-8', 'backslashreplace')!r} without being asked")
        command = self._waiting[0]
        if isinstance(command, Auth) and line[:1] == b"+" and line[:3].upper() != b"+OK":
            self.state = State.SASL
            return Challenge(parse_challenge(line))
        status = parse_status(line)
        if status.ok and _is_multi_line(command):
            self._body = _BodyReader()
            return Replied(command, status, opens_body=True)
        self._waiting.popleft()
        if status.ok or isinstance(command, Quit):
            self.state = AFTER_SUCCESS.get(type(command), self.state)
        return Replied(command, status)

    def _next_piece(self, body: _BodyReader) -> Event:
        if body.finished:
            self._body = None
            return End(self._waiting.popleft())
        if not self._buffer:
            return NEED_DATA
        end = self._buffer.find(_END)
        piece, used = body.feed(bytes(self._buffer if end < 0 else memoryview(self._buffer)[: end + len(_END)]))
        del self._buffer[:used]
        return Piece(piece) if piece else self._next_piece(body)

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._scanned)
        is_auth = bool(self._waiting) and isinstance(self._waiting[0], Auth)
        limit = MAX_CHALLENGE_BYTES if is_auth else MAX_LINE_BYTES
        if end >= limit or (end < 0 and len(self._buffer) > limit):
            raise self._violation("it sent a line without end where an answer was due")
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        self._scanned = 0
        line = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _violation(self, note: str) -> ProtocolViolation:
        self.state = State.CLOSED
        self._buffer.clear()
        return ProtocolViolation(b"", may_continue=False, note=note)


def _is_multi_line(command: Command) -> bool:
    match command:
        case List(number) | Uidl(number):
            return number is None
        case Retr() | Top() | Capa() | ListMechanisms():
            return True
        case _:
            return False


class _BodyReader:
    """RFC 1939 §3: a line with one dot ends it all. Lines end in CRLF; what else is in the text is left alone."""

    def __init__(self) -> None:
        self.finished = False
        self._held = b"\r\n"  # As if behind a line end: a dot may be the first thing there is.
        self._first = True

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """The next piece of the text, and how many of these bytes belong to it."""
        before = len(self._held)
        data = self._held + data
        end = data.find(_END)
        if end >= 0:
            self.finished = True
            self._held = b""
            return self._undo(data[: end + 2]), end + len(_END) - before
        undecided = _UNDECIDED.search(data, max(0, len(data) - 4))
        cut = len(data) if undecided is None else undecided.start()
        self._held = data[cut:]
        return self._undo(data[:cut]), len(data) - before

    def _undo(self, piece: bytes) -> bytes:
        """A dot held back with its line end comes with it, so that no pair is ever cut."""
        if b"\n.." in piece:
            piece = piece.replace(b"\n..", b"\n.")
        if self._first and piece:
            self._first = False
            piece = piece[2:]
        return piece
