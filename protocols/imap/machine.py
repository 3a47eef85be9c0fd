# SPDX-License-Identifier: MIT
"""What may be said when, and how the bytes of a conversation become events.

RFC 9051 §3 (states), §4.3 and RFC 7888 (literals), §5.5 (one command at a time), §6.2.1, §6.2.2, §6.3.13. Pure: the
session feeds bytes with `receive()` after NEED_DATA, takes events with `next_event()`, and turns its answers into
bytes with `send()`; data responses, which change nothing here, it writes by itself.

The machine pauses after each command until its Completion, so pipelining needs no code. A command is kept as its
pieces and parsed once, when it is whole; messages are handed on as they come (`append.py`). What is refused is
passed over to the end of the command, without being kept, so that both sides stay in step.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from mailserver.errors import ProtocolViolation
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.append import Offer, Reading, Small, read_append
from protocols.imap.events import (
    CommandReceived,
    Event,
    IdleEnded,
    LiteralAnnounced,
    MessageEnded,
    MessageOffered,
    MessagePiece,
    SaslResponse,
    Signal,
)
from protocols.imap.grammar import BARE, PARSERS, parse_command, read_head
from protocols.imap.incoming import KEPT_TAIL_BYTES, Incoming, LineTooLong
from protocols.imap.lexer import LITERAL_MARK, GrammarError, Lexer
from protocols.imap.limits import (
    LITERAL_MINUS_BYTES,
    MAX_IDLE_LINE_BYTES,
    MAX_PIECE_BYTES,
    MAX_SASL_LINE_BYTES,
    STRANGER,
    USER,
    Limits,
)
from protocols.imap.replies import Bye, Completion, Continuation, Proceed, Reply
from protocols.imap.session_grammar import parse_base64
from protocols.imap.uid_only import needs_numbers


class State(enum.Enum):
    """RFC 9051 §3."""

    NOT_AUTHENTICATED = enum.auto()
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()


_ANY = frozenset({"CAPABILITY", "NOOP", "LOGOUT", "ID"})
_AUTHENTICATED = _ANY | {
    "ENABLE", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "LIST", "LSUB",
    "NAMESPACE", "STATUS", "APPEND", "IDLE", "GETQUOTA", "GETQUOTAROOT", "SETQUOTA", "SETACL", "DELETEACL", "GETACL",
    "LISTRIGHTS", "MYRIGHTS", "GETMETADATA", "SETMETADATA", "NOTIFY", "COMPRESS", "UNAUTHENTICATE",
}  # fmt: skip
ALLOWED: dict[State, frozenset[str]] = {
    State.NOT_AUTHENTICATED: _ANY | {"STARTTLS", "AUTHENTICATE", "LOGIN", "COMPRESS"},
    State.AUTHENTICATED: _AUTHENTICATED,
    State.SELECTED: _AUTHENTICATED | {
        "CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "UID EXPUNGE", "SEARCH", "UID SEARCH", "SORT", "UID SORT", "THREAD",
        "UID THREAD", "FETCH", "UID FETCH", "STORE", "UID STORE", "COPY", "UID COPY", "MOVE", "UID MOVE", "REPLACE",
        "UID REPLACE", "CANCELUPDATE",
    },
    State.LOGOUT: frozenset(),
}  # fmt: skip
"""The commands allowed in each state. COMPRESS before login is RFC 4978 §3's licence; the session may refuse it."""

_STREAMED = frozenset({"APPEND", "REPLACE", "UID REPLACE"})
_KNOWN = frozenset(PARSERS) | frozenset(BARE) | _STREAMED
_WITHOUT_STRINGS = frozenset({
    "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "ENABLE", "NAMESPACE", "IDLE", "COMPRESS",
    "UNAUTHENTICATE", "CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "UID EXPUNGE", "STORE", "UID STORE",
})  # fmt: skip
"""A literal can only be a mistake in these; the client is told before it sends one."""


class _Mode(enum.Enum):
    """What the next bytes are."""

    LINE = enum.auto()
    LITERAL = enum.auto()
    MESSAGE = enum.auto()
    PASSING_LITERAL = enum.auto()
    PASSING_LINE = enum.auto()
    SASL = enum.auto()
    IDLE = enum.auto()
    PAUSED = enum.auto()
    SWITCHING = enum.auto()
    CLOSED = enum.auto()


@dataclass(slots=True)
class _Assembly:
    """A command of which not everything has come."""

    tag: str
    name: str
    position: int
    """Where the arguments begin."""
    pieces: list[bytes] = field(default_factory=list)
    lexer: Lexer | None = None
    reading: Reading | None = None
    """How far `read_append()` has got."""
    size: int = 0
    literals: int = 0
    literal: bytes = b""
    """The literal that the next line follows."""


class Machine:
    """One conversation. `literal_minus` holds the client to RFC 7888's LITERAL-; otherwise LITERAL+ is offered."""

    def __init__(self, *, literal_minus: bool = False) -> None:
        self.state = State.NOT_AUTHENTICATED
        self.utf8 = False
        """The session sets it when IMAP4rev2 or UTF8=ACCEPT has been enabled (RFC 6855 §3)."""
        self.uid_only = False
        """The session sets it when UIDONLY has been enabled (RFC 9586 §3)."""
        self._literal_minus = literal_minus
        self._incoming = Incoming()
        self._mode = _Mode.LINE
        self._after_pause = _Mode.LINE
        self._assembly: _Assembly | None = None
        self._command: c.Command | None = None
        self._offer: MessageOffered | None = None
        self._announced = False
        self._remaining = 0
        self._passed_over = 0

    # ------------------------------------------------------------ the three verbs

    def receive(self, data: bytes) -> None:
        """Bytes from the client. Feed them only after NEED_DATA: nothing else bounds what is waiting here."""
        if self._mode is not _Mode.CLOSED:
            self._incoming.add(data)

    def next_event(self) -> Event:
        """What has happened. Raises ProtocolViolation with the reply to send; see its `may_continue`."""
        while True:
            event = self._step()
            if event is not None:
                return event

    def send(self, reply: Reply) -> bytes:
        """The reply's bytes; the conversation moves on accordingly."""
        if isinstance(reply, Proceed):
            return self._proceed()
        if isinstance(reply, Continuation):
            assert isinstance(self._command, c.Authenticate | c.Idle), "nothing to continue"
            self._mode = _Mode.SASL if isinstance(self._command, c.Authenticate) else _Mode.IDLE
        elif isinstance(reply, Bye):
            # LOGOUT says good-bye before its OK (RFC 9051 §6.1.3); any other is the last word.
            if not isinstance(self._command, c.Logout):
                self._close()
        else:
            self._complete(reply)
        return replies.format_reply(reply)

    def layer_changed(self) -> None:
        """TLS or compression has begun after the OK to STARTTLS or COMPRESS.

        Raises ProtocolViolation when bytes came before it: they may be somebody else's (RFC 9051 §11.1).
        """
        assert self._mode is _Mode.SWITCHING, "no change of layer was agreed"
        self._check_nothing_waits()
        self._mode = _Mode.LINE

    # ------------------------------------------------------------ one step

    def _step(self) -> Event | None:
        match self._mode:
            case _Mode.LINE:
                return self._step_line()
            case _Mode.LITERAL:
                return self._step_literal()
            case _Mode.MESSAGE:
                return self._step_message()
            case _Mode.PASSING_LITERAL:
                return self._step_passing_literal()
            case _Mode.PASSING_LINE:
                return self._step_passing_line()
            case _Mode.SASL:
                return self._step_sasl()
            case _Mode.IDLE:
                return self._step_idle()
            case _Mode.SWITCHING:
                self._check_nothing_waits()
                return Signal.PAUSED
            case _Mode.CLOSED:
                return Signal.CLOSED
            case _Mode.PAUSED:
                return Signal.PAUSED

    @property
    def _limits(self) -> Limits:
        return STRANGER if self.state is State.NOT_AUTHENTICATED else USER

    def _take_line(self, limit: int, tag: str | None = None) -> bytes | None:
        """The next line; without a `tag` it begins a command."""
        try:
            return self._incoming.take_line(limit)
        except LineTooLong as error:
            known = read_head(error.start)[0] if tag is None else tag
            self._passed_over = 0
            self._mode = _Mode.PASSING_LINE
            raise self._violation(replies.bad(known, "line too long", replies.TOO_BIG_CODE)) from error

    def _step_line(self) -> Event | None:
        assembly = self._assembly
        line = self._take_line(self._limits.line_bytes, assembly.tag if assembly else None)
        if line is None:
            return Signal.NEED_DATA
        begins = assembly is None
        if assembly is None:
            assembly = self._begin(line)
        assembly.size += len(line)
        if b"\x00" in line or b"\r" in line:
            raise self._refuse(line, "NUL or CR in the line")
        if assembly.size > self._limits.command_bytes:
            raise self._refuse(line, "the command is too long", replies.TOO_BIG_CODE)
        if assembly.reading:
            if not begins:
                assert assembly.lexer
                assembly.lexer.extend(assembly.literal, line)
            return self._read_on(assembly, line)
        assembly.pieces.append(line)
        mark = LITERAL_MARK.search(line) if line.endswith(b"}") else None
        if mark:
            return self._announce(assembly, line, int(mark[2]), synchronising=not mark[3])
        return self._parse(assembly, line)

    def _begin(self, line: bytes) -> _Assembly:
        """A new command, if it may be given now."""
        tag, name, position = read_head(line)
        assembly = self._assembly = _Assembly(tag, name, position)
        if not tag:
            raise self._refuse(line, "expected a tag")
        if name not in _KNOWN:
            raise self._refuse(line, "unknown command")
        if name not in ALLOWED[self.state]:
            raise self._refuse(line, f"{name} cannot be used now")
        if name in _STREAMED:
            assembly.lexer = Lexer([line], utf8=self.utf8, position=position)
            assembly.reading = read_append(tag, name, assembly.lexer)
        return assembly

    def _parse(self, assembly: _Assembly, line: bytes) -> Event:
        try:
            command = parse_command(
                assembly.pieces, utf8=self.utf8, head=(assembly.tag, assembly.name, assembly.position)
            )
        except GrammarError as error:
            raise self._refuse_grammar(line, error) from error
        return self._deliver(command, line)

    def _deliver(self, command: c.Command, line: bytes) -> Event:
        if self.uid_only and needs_numbers(command):
            raise self._refuse(line, "message numbers are not in use", replies.UID_REQUIRED_CODE)
        self._assembly = None
        self._command = command
        self._mode = _Mode.PAUSED
        return CommandReceived(command)

    # ------------------------------------------------------------ literals

    def _announce(self, assembly: _Assembly, line: bytes, size: int, *, synchronising: bool) -> Event | None:
        """An argument is to come as a literal."""
        limits = self._limits
        assembly.literals += 1
        assembly.size += size
        if assembly.name in _WITHOUT_STRINGS:
            raise self._refuse(line, "no string can stand here")
        if (
            size > limits.literal_bytes
            or assembly.literals > limits.literals
            or assembly.size > limits.command_bytes
            or self._breaks_literal_minus(size, synchronising)
        ):
            raise self._refuse(line, "the literal is too big", replies.TOO_BIG_CODE)
        self._remaining = size
        if not synchronising:
            self._mode = _Mode.LITERAL
            return None
        self._announced = True
        self._after_pause, self._mode = _Mode.LITERAL, _Mode.PAUSED
        return LiteralAnnounced()

    def _breaks_literal_minus(self, size: int, synchronising: bool) -> bool:
        return self._literal_minus and not synchronising and size > LITERAL_MINUS_BYTES

    def _step_literal(self) -> Event | None:
        if len(self._incoming) < self._remaining:
            return Signal.NEED_DATA
        assembly = self._assembly
        assert assembly
        assembly.literal = self._incoming.take(self._remaining)
        if not assembly.reading:
            assembly.pieces.append(assembly.literal)
        self._mode = _Mode.LINE
        return None

    def _read_on(self, assembly: _Assembly, line: bytes) -> Event | None:
        """Let `read_append()` go on, up to the next literal or the end."""
        assert assembly.reading
        assert assembly.lexer
        try:
            step = next(assembly.reading)
        except StopIteration as finished:
            return self._deliver(finished.value, line)
        except GrammarError as error:
            raise self._refuse_grammar(line, error) from error
        mark = assembly.lexer.awaited_literal()
        assert mark, "read_append() stops before a literal"
        synchronising = not mark[3]
        if isinstance(step, Small):
            return self._announce(assembly, line, int(mark[2]), synchronising=synchronising)
        return self._offer_message(step, line, synchronising)

    def _offer_message(self, offer: Offer, line: bytes, synchronising: bool) -> Event:
        if self._breaks_literal_minus(offer.size, synchronising):
            raise self._refuse(line, "the literal is too big", replies.TOO_BIG_CODE)
        self._offer = MessageOffered(offer, synchronising)
        self._remaining = offer.size
        self._announced = synchronising
        self._after_pause, self._mode = _Mode.MESSAGE, _Mode.PAUSED
        return self._offer

    def _step_message(self) -> Event:
        if not self._remaining:
            assert self._assembly
            self._assembly.literal = b""
            self._mode = _Mode.LINE
            return MessageEnded()
        piece = self._incoming.take(min(self._remaining, MAX_PIECE_BYTES))
        self._remaining -= len(piece)
        return MessagePiece(piece) if piece else Signal.NEED_DATA

    def _proceed(self) -> bytes:
        assert self._mode is _Mode.PAUSED, "nothing was announced"
        assert self._assembly, "nothing was announced"
        self._mode = self._after_pause
        self._offer = None
        return replies.format_reply(replies.LITERAL) if self._announced else b""

    # ------------------------------------------------------------ AUTHENTICATE and IDLE

    def _step_sasl(self) -> Event:
        assert self._command
        line = self._take_line(MAX_SASL_LINE_BYTES, self._command.tag)
        if line is None:
            return Signal.NEED_DATA
        if line == b"*":
            self._mode = _Mode.PAUSED
            return SaslResponse(None)
        try:
            data = parse_base64(line)
        except GrammarError as error:
            self._mode = _Mode.LINE
            raise self._violation(replies.bad(self._command.tag, error.reason)) from error
        self._mode = _Mode.PAUSED
        return SaslResponse(data)

    def _step_idle(self) -> Event:
        assert self._command
        line = self._take_line(MAX_IDLE_LINE_BYTES, self._command.tag)
        if line is None:
            return Signal.NEED_DATA
        if line.upper() != b"DONE":
            self._mode = _Mode.LINE
            raise self._violation(replies.bad(self._command.tag, "expected DONE"))
        self._mode = _Mode.PAUSED
        return IdleEnded()

    # ------------------------------------------------------------ refusing and passing over

    def _violation(self, completion: Completion) -> ProtocolViolation:
        self._command = None
        self._assembly = None
        return ProtocolViolation(replies.format_reply(completion), may_continue=True, note=completion.text)

    def _refuse_grammar(self, line: bytes, error: GrammarError) -> ProtocolViolation:
        return self._refuse(line, error.reason, error.code.encode("ascii"), no=error.no)

    def _refuse(self, line: bytes, reason: str, code: bytes = b"", *, no: bool = False) -> ProtocolViolation:
        """End the command here. A literal that is on its way regardless, and what follows it, is passed over."""
        tag = self._assembly.tag if self._assembly else ""
        completion = replies.bad(tag, reason, code)
        if no:
            completion = Completion(completion.tag, replies.Status.NO, completion.text, code)
        self._passed_over = 0
        self._pass_what_follows(line)
        return self._violation(completion)

    def _pass_what_follows(self, line: bytes) -> None:
        """After a refused line: its literal, if the client does not wait for leave to send it."""
        mark = LITERAL_MARK.search(line[-KEPT_TAIL_BYTES:]) if line.endswith(b"}") else None
        if not mark or not mark[3]:
            self._mode = _Mode.LINE
            return
        self._remaining = int(mark[2])
        if self._passed_over + self._remaining > self._limits.passed_over_bytes:
            raise self._disconnect(replies.LITERAL_TOO_BIG)
        self._mode = _Mode.PASSING_LITERAL

    def _step_passing_literal(self) -> Event | None:
        dropped = self._incoming.discard(self._remaining)
        self._remaining -= dropped
        self._passed_over += dropped
        if self._remaining:
            return Signal.NEED_DATA
        self._mode = _Mode.PASSING_LINE
        return None

    def _step_passing_line(self) -> Event | None:
        dropped, tail = self._incoming.discard_line()
        self._passed_over += dropped
        if self._passed_over > self._limits.passed_over_bytes:
            raise self._disconnect(replies.LINE_TOO_LONG)
        if tail is None:
            return Signal.NEED_DATA
        self._pass_what_follows(tail)
        return None

    def _check_nothing_waits(self) -> None:
        if self._incoming:
            raise self._disconnect(replies.BYTES_BEFORE_SWITCH)

    def _disconnect(self, bye: Bye) -> ProtocolViolation:
        self._close()
        return ProtocolViolation(replies.format_reply(bye), may_continue=False, note=bye.text)

    def _close(self) -> None:
        self._mode = _Mode.CLOSED
        self._assembly = self._command = None
        self._incoming.clear()

    # ------------------------------------------------------------ how commands change the state

    def _complete(self, completion: Completion) -> None:
        assert self._mode is _Mode.PAUSED, "no command is waiting for its end"
        if self._offer:
            self._refuse_offer(self._offer)
            return
        command = self._command
        assert command, "no command is waiting for its end"
        self._command = None
        self._mode = _Mode.LINE
        if completion.status is replies.Status.OK:
            self._succeed(command)
        elif isinstance(command, c.Select) and completion.status is replies.Status.NO:
            # RFC 9051 §6.3.2: a SELECT that fails leaves no mailbox selected.
            self.state = State.AUTHENTICATED

    def _refuse_offer(self, offered: MessageOffered) -> None:
        self._offer = self._assembly = None
        self._mode = _Mode.LINE
        if offered.synchronising:
            return
        self._passed_over = 0
        if self._remaining > self._limits.passed_over_bytes:
            raise self._disconnect(replies.LITERAL_TOO_BIG)
        self._mode = _Mode.PASSING_LITERAL

    def _succeed(self, command: c.Command) -> None:
        match command:
            case c.Login() | c.Authenticate():
                self.state = State.AUTHENTICATED
            case c.Select():
                self.state = State.SELECTED
            case c.Close() | c.Unselect():
                self.state = State.AUTHENTICATED
            case c.Unauthenticate():
                # RFC 8437 §3: as after the greeting, what was enabled is forgotten.
                self.state = State.NOT_AUTHENTICATED
                self.utf8 = self.uid_only = False
            case c.Logout():
                self.state = State.LOGOUT
                self._close()
            case c.StartTls() | c.Compress():
                self._mode = _Mode.SWITCHING
                self._check_nothing_waits()
