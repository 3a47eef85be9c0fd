# SPDX-License-Identifier: MIT
"""What may be said when, on the server's side of POP3: bytes in, commands out, replies in, bytes out.

RFC 1939 §3 to §6 (states), RFC 2449 §4 (line lengths), §6.6 (PIPELINING), RFC 2595 §4 (STLS), RFC 5034 §4 (AUTH).
Pure: knows no socket, clock or service.

The machine gives one command and then pauses until its reply has been sent, so that pipelining needs no code
elsewhere. Whatever bytes arrive, `next_event` gives events or raises ProtocolViolation, and nothing else.

Quirk: a command may end in a bare LF, as people who type into netcat send it. No mail travels in this direction, so
nothing can be smuggled by it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mailserver.errors import ProtocolViolation
from protocols.pop3 import replies
from protocols.pop3.bodies import DotStuffer, stuff_whole
from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    Lang,
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
from protocols.pop3.grammar import BadArguments, UnknownCommand, parse_command, parse_response
from protocols.pop3.replies import Answer, End, Piece, Reply, Whole


class State(enum.Enum):
    """RFC 1939 §3's three states, and the steps within the first."""

    GREETING = "greeting"
    CLEAR = "clear"
    """Nothing but STLS leads on (spec services 1.3, mode TLS)."""
    AUTHORIZATION = "authorization"
    NAMED = "named"
    """USER has been accepted."""
    SASL = "sasl"
    """In an AUTH exchange: lines are responses."""
    TLS = "tls"
    """STLS has been accepted; the handshake is due."""
    TRANSACTION = "transaction"
    CLOSED = "closed"


_ANYWHERE = frozenset[type]({Capa, Lang, Quit})
_AUTHORIZATION = _ANYWHERE | {User, Apop, Auth, ListMechanisms, Stls, Utf8}
ALLOWED: dict[State, frozenset[type]] = {
    State.GREETING: frozenset(),
    State.CLEAR: frozenset({Capa, Stls, Quit}),
    State.AUTHORIZATION: _AUTHORIZATION,
    State.NAMED: _AUTHORIZATION | {Pass},
    State.SASL: frozenset({SaslResponse, SaslCancel}),
    State.TLS: frozenset(),
    State.TRANSACTION: _ANYWHERE | {Stat, List, Uidl, Retr, Top, Dele, Noop, Rset},
    State.CLOSED: frozenset(),
}
"""Which commands each state knows. RFC 1939 §4 to §6, RFC 2449 §5, RFC 6856 §2.1 and §3."""

AFTER_SUCCESS: dict[type, State] = {
    User: State.NAMED,
    Pass: State.TRANSACTION,
    Apop: State.TRANSACTION,
    Auth: State.TRANSACTION,
    SaslResponse: State.TRANSACTION,
    Stls: State.TLS,
    Quit: State.CLOSED,
}
AFTER_FAILURE: dict[type, State] = {
    Pass: State.AUTHORIZATION,
    SaslResponse: State.AUTHORIZATION,
    SaslCancel: State.AUTHORIZATION,
    Quit: State.CLOSED,
}
"""Where a reply leads; commands that are missing here leave the state as it is."""

MAX_LINE_BYTES = 255
"""RFC 2449 §4, line end included. Dovecot allows 8,192; nobody needs them."""
MAX_AUTH_LINE_BYTES = 12288
"""RFC 5034 §4 for responses. AUTH itself gets as much: tokens in an initial response outgrow 255 octets."""
MAX_WORD_BYTES = 20
"""More of a line that cannot be read is not shown in the transcript."""


@dataclass(frozen=True, slots=True)
class NeedData:
    """Call `receive` and ask again."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The last command has not been answered, or the connection changes: send first."""


NEED_DATA = NeedData()
PAUSED = Paused()
Event = Command | NeedData | Paused


class Pop3Machine:
    """One server connection."""

    def __init__(self, *, tls_required: bool = False) -> None:
        """`tls_required`: nobody logs in before STLS."""
        self.state = State.GREETING
        self._first = State.CLEAR if tls_required else State.AUTHORIZATION
        self._buffer = bytearray()
        self._scanned = 0
        self._skipping = False
        self._pending: Command | None = None
        self._body: DotStuffer | None = None

    @property
    def in_body(self) -> bool:
        """A multi-line answer has begun and not ended: nothing else can be said."""
        return self._body is not None

    def receive(self, data: bytes) -> None:
        """Bytes from the peer. Ask `next_event` until it wants more, and memory stays bounded by one read."""
        if self.state is not State.CLOSED:
            self._buffer += data

    def next_event(self) -> Event:
        """The next command, or why there is none. Raises ProtocolViolation, whose reply is to be sent as it is."""
        if self.state is State.TLS and self._buffer:
            raise self._violation(replies.bytes_before_tls())
        if self._pending is not None or self.state in (State.GREETING, State.TLS, State.CLOSED):
            return PAUSED
        line = self._next_line()
        if line is None:
            return NEED_DATA
        command = self._parse(line)
        if type(command) not in ALLOWED[self.state]:
            raise self._violation(self._out_of_place(command), command.verb)
        self._pending = command
        return command

    def send(self, answer: Answer) -> bytes:
        """The bytes of a reply, or of a part of one; moves on to the state that the reply leads to.

        Raises ProtocolViolation in place of accepting STLS when bytes have arrived behind it.
        """
        if isinstance(answer, Reply):
            return self._send_reply(answer)
        if isinstance(answer, Whole):
            self._pending = None
            return b"%b%b" % (answer.reply.line, stuff_whole(answer.data))
        assert self._body is not None
        if isinstance(answer, Piece):
            return self._body.feed(answer.data)
        assert isinstance(answer, End)
        last = self._body.finish()
        self._body = self._pending = None
        return last

    def tls_started(self) -> None:
        """The handshake is done: everything said before is forgotten (RFC 2595 §4)."""
        assert self.state is State.TLS
        self.state = self._first = State.AUTHORIZATION

    # ------------------------------------------------------------ inside

    def _send_reply(self, reply: Reply) -> bytes:
        if self.state is State.GREETING:
            self.state = State.CLOSED if reply.closes else self._first
            return reply.line
        command = self._pending
        assert command is not None
        if isinstance(command, Stls) and reply.ok and self._buffer:
            raise self._violation(replies.bytes_before_tls())
        if reply.opens_body:
            self._body = DotStuffer()
            return reply.line
        self._pending = None
        self.state = self._state_after(command, reply)
        return reply.line

    def _state_after(self, command: Command, reply: Reply) -> State:
        if reply.closes:
            return State.CLOSED
        if reply.challenge:
            return State.SASL
        return (AFTER_SUCCESS if reply.ok else AFTER_FAILURE).get(type(command), self.state)

    def _next_line(self) -> bytes | None:
        """The next whole line without its end. Raises ProtocolViolation once for each line that is too long."""
        limit = self._limit()
        end = self._buffer.find(b"\n", self._scanned)
        if self._skipping:
            return self._skip_to(end)
        if end >= limit or (end < 0 and len(self._buffer) >= limit):
            self._skipping = True
            if self.state is State.SASL:
                self.state = State.AUTHORIZATION
            raise self._violation(replies.line_too_long())
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        self._scanned = 0
        line = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _skip_to(self, end: int) -> bytes | None:
        """Throw the rest of a line away, then go on behind it."""
        self._scanned = 0
        if end < 0:
            self._buffer.clear()
            return None
        del self._buffer[: end + 1]
        self._skipping = False
        return self._next_line()

    def _limit(self) -> int:
        if self.state is State.TRANSACTION:
            return MAX_LINE_BYTES
        is_auth = self.state is State.SASL or self._buffer[:4].upper() == b"AUTH"
        return MAX_AUTH_LINE_BYTES if is_auth else MAX_LINE_BYTES

    def _parse(self, line: bytes) -> Command:
        try:
            return parse_response(line) if self.state is State.SASL else parse_command(line)
        except UnknownCommand:
            raise self._violation(replies.unknown_command(), _first_word(line)) from None
        except BadArguments:
            if self.state is State.SASL:
                self.state = State.AUTHORIZATION
                raise self._violation(replies.bad_response()) from None
            verb = _first_word(line).upper()
            raise self._violation(replies.bad_arguments(verb), verb) from None

    def _out_of_place(self, command: Command) -> Reply:
        if self.state is State.CLEAR:
            return replies.tls_first()
        if isinstance(command, Pass) and self.state is State.AUTHORIZATION:
            return replies.user_first()
        return replies.wrong_state(command.verb, logged_in=self.state is State.TRANSACTION)

    def _violation(self, reply: Reply, said: str = "") -> ProtocolViolation:
        """`said` is what the transcript may show of the line: one word, for the rest may be a password."""
        if reply.closes:
            self.state = State.CLOSED
            self._pending = None
            self._buffer.clear()
        return ProtocolViolation(reply.line, may_continue=not reply.closes, note=f"{said} ...".lstrip())


def _first_word(line: bytes) -> str:
    return line.partition(b" ")[0][:MAX_WORD_BYTES].decode("ascii", "backslashreplace")
