# SPDX-License-Identifier: MIT
"""An IMAP4 session on a connection: reading, writing, TLS, compression, deadlines, and the end.

RFC 9051 §5.3 and §5.4 (autologout), §6.2.1 (STARTTLS), RFC 4978 (COMPRESS). Joins the machine, the session and the
handlers, and knows no command but those that change the connection.

Responses are gathered while the client has more commands waiting. A client that is waiting for news (IDLE, NOTIFY)
costs its objects and no task but this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator

from mailserver.errors import MailError, ProtocolViolation
from protocols.imap import replies
from protocols.imap.commands import (
    Append,
    Command,
    Compress,
    Fetch,
    Idle,
    Replace,
    Search,
    Sort,
    StartTls,
    Store,
    Thread,
)
from protocols.imap.deflate import DeflateLayer
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
from protocols.imap.handlers.append import Intake
from protocols.imap.handlers.connection import capabilities_of
from protocols.imap.handlers.login import take_response
from protocols.imap.handlers.table import HANDLERS
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.logins import Logins
from protocols.imap.machine import Machine
from protocols.imap.outlet import Outlet
from protocols.imap.replies import Completion, Proceed, Reply, Status
from protocols.imap.session import Session
from protocols.net.connection import Connection
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed

log = logging.getLogger("pillarbox.imap")

MAX_VIOLATIONS = 20
"""A client that breaks the syntax so many times in a row is sent away; Dovecot allows as many."""
LOGIN_SECONDS = 180
"""How long a client may take to log in; Dovecot's limit too."""
MIN_IDLE_SECONDS = 31 * 60
"""IDLE lasts at least so long: clients are told to renew it every 29 minutes (RFC 9051 §6.3.13)."""
STILL_HERE_SECONDS = 120
"""An idling client hears of us so often, so that routers keep the connection and one that is dead is found."""

_BY_NUMBER = (Fetch, Store, Search, Sort, Thread)


class ImapService:
    """What all IMAP4 sessions of a process share; `serve` is the session handler."""

    def __init__(self, indexes: MailboxIndexes) -> None:
        self._indexes = indexes
        self._logins = Logins()

    async def serve(self, connection: Connection) -> None:
        """Serve one client until it leaves, is idle for too long, or breaks the protocol for good."""
        machine = Machine()
        outlet = Outlet(connection.stream, connection.service.idle_timeout_seconds)
        session = Session(connection, self._indexes, self._logins, outlet, machine)
        conversation = _Conversation(connection, session, machine, outlet)
        try:
            await conversation.run()
        finally:
            await asyncio.shield(asyncio.ensure_future(conversation.close()))


class _Conversation:
    """Carries bytes between the stream and the machine, and events between the machine and the handlers."""

    def __init__(self, connection: Connection, session: Session, machine: Machine, outlet: Outlet) -> None:
        self._connection = connection
        self._session = session
        self._machine = machine
        self._outlet = outlet
        self._stream = connection.stream
        self._transcript = connection.transcript
        self._intake = Intake(session)
        self._inflated: Iterator[bytes] = iter(())
        self._idle: Idle | None = None
        self._idle_since = 0.0
        self._violations = 0

    async def run(self) -> None:
        try:
            await self._outlet.put(replies.greeting(capabilities_of(self._session)))
            while await self._step():
                pass
            await self._outlet.flush()
        except DeadlinePassed:
            await self._leave(replies.IDLE_TOO_LONG)
        except (ConnectionLost, asyncio.CancelledError):
            raise
        except Exception:  # the session loop; the listener logs it whole
            await self._leave(replies.INTERNAL_ERROR)
            raise

    async def close(self) -> None:
        """Give back whatever the session holds."""
        self._intake.drop()
        await self._session.reset()

    async def _step(self) -> bool:
        """Take one event; False when the conversation is over."""
        try:
            event = self._machine.next_event()
            if event is Signal.NEED_DATA:
                return await self._read()
            if event is Signal.CLOSED:
                return False
            await self._take(event)
        except ProtocolViolation as violation:
            await self._reject(violation)
        if self._session.farewell is not None:
            await self._leave(self._session.farewell)
            return False
        return True

    # ------------------------------------------------------------ reading and waiting

    async def _read(self) -> bool:
        for piece in self._inflated:
            self._machine.receive(piece)
            return True
        await self._outlet.flush()
        if self._idle is None:
            self._connection.live.doing = "idle"
        if not await self._await_input():
            return True
        data = await self._stream.read()
        if not data:
            return False
        if self._outlet.layer is None:
            self._machine.receive(data)
        else:
            self._inflated = self._outlet.layer.receive(data)
        return True

    async def _await_input(self) -> bool:
        """Until there is something to read; False when an idling client has been kept company instead."""
        self._stream.set_deadline(self._patience_seconds)
        try:
            if await self._stream.wait_input():
                return True
        except DeadlinePassed:
            if self._idle is None or time.monotonic() - self._idle_since >= self._idle_limit_seconds:
                raise
            await self._outlet.put(replies.STILL_HERE)
            return False
        await self._tell_news()
        return False

    @property
    def _patience_seconds(self) -> float:
        seconds = self._connection.service.idle_timeout_seconds
        if self._session.user is None:
            return min(seconds, LOGIN_SECONDS)
        return seconds if self._idle is None else min(STILL_HERE_SECONDS, self._idle_limit_seconds)

    @property
    def _idle_limit_seconds(self) -> float:
        return max(self._connection.service.idle_timeout_seconds, MIN_IDLE_SECONDS)

    async def _tell_news(self) -> None:
        """Outside IDLE no message may lose its number (RFC 9051 §7.5.1), unless the client wants it so."""
        session = self._session
        if session.listening:
            at_once = session.idling or session.expunges_at_once
            await session.send_updates(may_expunge=at_once)
        if session.selected is not None and session.selected.gone:
            session.farewell = replies.MAILBOX_GONE

    # ------------------------------------------------------------ events

    async def _take(self, event: Event) -> None:
        match event:
            case CommandReceived(command):
                await self._carry_out(command)
            case MessagePiece(data):
                self._intake.add(data)
            case MessageEnded():
                pass
            case LiteralAnnounced():
                await self._put(Proceed())
            case MessageOffered(offer):
                await self._put(await self._intake.offer(offer))
            case SaslResponse(data):
                await self._put(await take_response(self._session, data))
            case IdleEnded():
                await self._end_idle()
            case Signal():
                raise AssertionError(f"the machine waits for an answer: {event}")

    async def _carry_out(self, command: Command) -> None:
        self._violations = 0
        self._session.begin_command(replies.name_of(command))
        if self._transcript.enabled:
            self._transcript.received(_describe(command))
        reply = await self._answer(command)
        if isinstance(command, Idle) and self._session.idling:
            self._idle, self._idle_since = command, time.monotonic()
        if isinstance(reply, Completion):
            await self._send_updates(command)
        await self._put(reply)
        if isinstance(reply, Completion) and reply.status is Status.OK:
            await self._change_layer(command)

    async def _answer(self, command: Command) -> Reply:
        try:
            if isinstance(command, Append | Replace):
                return await self._intake.finish(command)
            return await HANDLERS[type(command)](self._session, command)
        except MailError as error:
            log.info("IMAP4 session %d, %s: %s", self._session.client.session, replies.name_of(command), error)
            return replies.failed(command, error)

    async def _send_updates(self, command: Command) -> None:
        by_number = isinstance(command, _BY_NUMBER) and not command.uid
        await self._session.send_updates(may_expunge=not by_number, with_uid=bool(getattr(command, "uid", False)))
        if self._session.selected is not None and self._session.selected.gone:
            self._session.farewell = replies.MAILBOX_GONE

    async def _end_idle(self) -> None:
        command, self._idle = self._idle, None
        assert command is not None
        self._session.idling = False
        await self._send_updates(command)
        await self._put(replies.completed(command))

    async def _put(self, reply: Reply) -> None:
        data = self._machine.send(reply)
        if self._transcript.enabled and data:
            self._transcript.sent(data)
        await self._outlet.put(data)

    async def _reject(self, violation: ProtocolViolation) -> None:
        """The peer broke the protocol: tell it, and go on or not as the violation says."""
        self._violations += 1
        self._intake.drop()
        self._idle = None
        self._session.idling = False
        self._session.exchange = None
        if self._transcript.enabled:
            self._transcript.received(violation.note.encode("ascii", "replace"))
            self._transcript.sent(violation.reply)
        await self._outlet.put(violation.reply)
        if not violation.may_continue:
            await self._outlet.flush()
            await self._connection.report_nuisance(violation.note)
            raise ConnectionLost
        if self._violations >= MAX_VIOLATIONS:
            await self._connection.report_nuisance(f"{self._violations} wrong commands in a row")
            self._session.farewell = replies.TOO_MANY_ERRORS

    async def _leave(self, bye: replies.Bye) -> None:
        """Last words, for whoever still listens."""
        with contextlib.suppress(ConnectionLost, DeadlinePassed):
            self._transcript.note(bye.text)
            await self._outlet.put(replies.format_reply(bye))
            await self._outlet.flush()

    # ------------------------------------------------------------ layers

    async def _change_layer(self, command: Command) -> None:
        if isinstance(command, StartTls):
            await self._start_tls()
        elif isinstance(command, Compress):
            await self._outlet.flush()
            self._outlet.layer = DeflateLayer()
            self._machine.layer_changed()

    async def _start_tls(self) -> None:
        """The OK is the last thing gathered, and the last in clear."""
        context = self._connection.tls_context()
        if context is None:
            raise ConnectionLost
        try:
            await self._stream.start_tls(context, self._outlet.take())
        except BytesBeforeTls:
            await self._leave(replies.BYTES_BEFORE_SWITCH)
            raise ConnectionLost from None
        self._session.tls_started(self._stream.tls)
        self._machine.layer_changed()
        self._transcript.note(self._stream.tls)


def _describe(command: Command) -> bytes:
    """For the transcript. What logs somebody in is no part of a command's repr."""
    return f"{command.tag} {command!r}".encode()
