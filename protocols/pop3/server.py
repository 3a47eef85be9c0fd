# SPDX-License-Identifier: MIT
"""A POP3 session on a connection: reading, writing, TLS, deadlines, and the end.

RFC 1939 §3 (autologout), RFC 2595 §4 (STLS). Joins the machine and the session, and knows no command.

Replies are gathered while the client has more commands waiting, so that a pipelining client gets few large writes.
An idle client is cut off without a word, as RFC 1939 §3 asks, and nothing of its is removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from mailserver.errors import Kind, ProtocolViolation
from protocols.net.connection import Connection
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed
from protocols.pop3 import replies
from protocols.pop3.commands import Command
from protocols.pop3.grammar import format_for_log
from protocols.pop3.machine import NeedData, Paused, Pop3Machine, State
from protocols.pop3.replies import Answer, Piece, Whole
from protocols.pop3.session import Pop3Session

log = logging.getLogger("pillarbox.pop3")

FLUSH_BYTES = 64 * 1024
"""Gathered replies are written when they have grown to this."""
MAX_VIOLATIONS = 20
"""A session with more wrong commands than this is ended; Dovecot's pop3 allows as many."""


async def serve_pop3(connection: Connection) -> None:
    """Serve one client until it leaves, is idle for too long, or breaks the protocol for good."""
    session = Pop3Session(connection)
    try:
        await _Conversation(connection, session).run()
    except DeadlinePassed:
        connection.transcript.note("idle for too long")
    finally:
        await asyncio.shield(asyncio.ensure_future(session.close()))


class _Conversation:
    """Carries bytes between the stream and the machine, and commands between the machine and the session."""

    def __init__(self, connection: Connection, session: Pop3Session) -> None:
        self._connection = connection
        self._session = session
        self._stream = connection.stream
        self._transcript = connection.transcript
        tls_required = connection.service.encryption == "tls" and not connection.client.encrypted
        self._machine = Pop3Machine(tls_required=tls_required)
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._violations = 0

    async def run(self) -> None:
        try:
            await self._put([self._session.greeting()])
            while self._machine.state is not State.CLOSED and await self._step():
                pass
            await self._flush()
        except (ConnectionLost, DeadlinePassed, asyncio.CancelledError):
            raise
        except Exception:  # the session loop; the listener logs it whole
            await self._say_internal_error()
            raise

    async def _step(self) -> bool:
        """Take one event; False when the client has gone."""
        try:
            event = self._machine.next_event()
            if isinstance(event, NeedData):
                return await self._read()
            assert not isinstance(event, Paused)
            await self._answer(event)
        except ProtocolViolation as violation:
            await self._reject(violation)
        return True

    async def _read(self) -> bool:
        await self._flush()
        self._connection.live.doing = "idle"
        self._set_deadline()
        data = await self._stream.read()
        self._machine.receive(data)
        return bool(data)

    async def _answer(self, command: Command) -> None:
        self._connection.live.doing = command.verb
        if self._transcript.enabled:
            self._transcript.received(format_for_log(command))
        answers = await self._session.answer(command)
        try:
            await self._put(answers)
        except OSError as error:
            log.error("POP3 session %d: a message could not be read: %s", self._connection.client.session, error)
            self._stream.abort()
            raise ConnectionLost from error
        if self._machine.state is State.TLS:
            await self._start_tls()

    async def _put(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            data = self._machine.send(answer)
            if self._transcript.enabled and not isinstance(answer, Piece):
                self._transcript.sent(answer.reply.line if isinstance(answer, Whole) else data)
            self._gathered.append(data)
            self._gathered_bytes += len(data)
            if self._gathered_bytes >= FLUSH_BYTES:
                await self._flush()

    async def _flush(self) -> None:
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._gathered_bytes = 0
            self._set_deadline()
            await self._stream.write(data)

    async def _start_tls(self) -> None:
        """The acceptance of STLS is the last thing gathered, and the last in clear."""
        context = self._connection.tls_context()
        last_words = self._gathered.pop()
        await self._flush()
        try:
            if context is None:
                raise ConnectionLost
            await self._stream.start_tls(context, last_words)
        except BytesBeforeTls:
            await self._stream.write(replies.bytes_before_tls().line)
            raise ConnectionLost from None
        self._machine.tls_started()
        self._session.tls_started(self._stream.tls)
        self._transcript.note(self._stream.tls)

    async def _reject(self, violation: ProtocolViolation) -> None:
        """The peer broke the protocol: tell it, and go on or not as the violation says."""
        self._violations += 1
        if self._transcript.enabled:
            self._transcript.received(violation.note.encode("ascii", "replace"))
            self._transcript.sent(violation.reply)
        self._gathered.append(violation.reply)
        await self._flush()
        if not violation.may_continue:
            await self._connection.report_nuisance(violation.note)
            raise ConnectionLost
        if self._violations >= MAX_VIOLATIONS:
            await self._connection.report_nuisance(f"{self._violations} wrong commands in a row")
            await self._stream.write(replies.too_many_errors().line)
            raise ConnectionLost

    async def _say_internal_error(self) -> None:
        """Our bug: the listener logs it whole; the client is told what it may know."""
        if self._machine.in_body:
            self._stream.abort()
        elif not self._stream.lost:
            await self._stream.write(replies.failure(Kind.INTERNAL).line)

    def _set_deadline(self) -> None:
        self._stream.set_deadline(self._connection.service.idle_timeout_seconds)
