# SPDX-License-Identifier: MIT
"""What an SMTP command means here: asks policy, scripts, the pipeline and the store, and chooses the reply.

RFC 5321 §3.3, §3.6 and §6.1: a reply of success to the end of data means that the message is safe. Leaves syntax and
the order of commands to `server.py`.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from dataclasses import replace

from mailserver import clock
from mailserver.addressing.resolve import Answer, Lan, Local, Remote, Unknown, resolve
from mailserver.config.catalog import (
    DEFAULT_DOMAIN,
    DISABLE_DSN,
    ENABLE_VRFY,
    MAX_MESSAGE_BYTES,
    OFFER_CRAM_MD5,
)
from mailserver.config.snapshot import Snapshot, User
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import MailFromGiven, RecipientGiven
from mailserver.lan.planning import ask_rules
from mailserver.mime.headers import header_section, summarise
from mailserver.pipeline.filing import RefusedMessage, build_refusal, build_unit
from mailserver.pipeline.message import IncomingMessage, Origin
from mailserver.pipeline.queueing import plan_queueing
from mailserver.pipeline.reports import add_delivery_report
from mailserver.pipeline.stages import run_pipeline
from mailserver.pipeline.verdict import Refuse
from mailserver.store.interface import Unit, UnitResult
from mailserver.values import Address, Body, Protocol, Recipient, UserId
from protocols.net.connection import Connection
from protocols.sasl.login import may_send_password
from protocols.sasl.mechanisms import offered
from protocols.smtp import policy, replies
from protocols.smtp.grammar import GrammarError, MailFrom, RcptTo, parse_mailbox
from protocols.smtp.policy import Standing
from protocols.smtp.transaction import SmtpSession, Transaction

log = logging.getLogger("pillarbox.smtp")

MAX_REFUSALS_OF_SESSION = 20
"""Journeys of refused transactions that one session may leave behind; those beyond are only in the session log."""


FIRST_READ_BYTES = 32 * 1024
"""Of a message, to find its header section."""


class SmtpHandler:
    """The meaning of the commands of one session. Each `handle_` method gives the reply."""

    def __init__(self, connection: Connection, hostname: str) -> None:
        self._connection = connection
        self._service = connection.service
        self._hostname = hostname
        self.interrupted = False
        """The session was to be ended while a message was being filed: it ends after the reply."""

    # ------------------------------------------------------------ what is on offer

    def keywords(self) -> list[str]:
        """What EHLO announces (RFC 5321 §4.1.1.1)."""
        keywords = [
            "PIPELINING",
            f"SIZE {self._service.get(MAX_MESSAGE_BYTES)}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        ]
        if not self._service.get(DISABLE_DSN):
            keywords.append("DSN")
        if self.can_start_tls():
            keywords.append("STARTTLS")
        if mechanisms := self.mechanisms():
            keywords.append(f"AUTH {' '.join(mechanisms)}")
        return [*keywords, "HELP"]

    def can_start_tls(self) -> bool:
        return not self._connection.client.encrypted and self._connection.tls_context() is not None

    def mechanisms(self) -> tuple[str, ...]:
        """What may be used to log in on this connection as it is."""
        client = self._connection.client
        if not policy.login_offered(self._service, client):
            return ()
        encryption_required = self._service.require_encrypted_login
        return self._mechanisms(plain=may_send_password(client, encryption_required=encryption_required))

    def refuse_login(self, session: SmtpSession, transaction: Transaction, mechanism: str) -> bytes | None:
        """Why nobody can log in now, or in this way (RFC 4954 §4)."""
        if session.user is not None:
            return replies.ALREADY_LOGGED_IN
        if transaction.begun:
            return replies.LOGIN_DURING_MESSAGE
        if not session.extended_smtp:
            return replies.HELLO_FIRST
        if not policy.login_offered(self._service, self._connection.client):
            return replies.NOT_IMPLEMENTED
        if not mechanism:
            return replies.NEEDS_MECHANISM
        if mechanism in self.mechanisms():
            return None
        lacks_only_tls = mechanism in self._mechanisms(plain=True)
        return replies.ENCRYPTION_NEEDED if lacks_only_tls else replies.UNKNOWN_MECHANISM

    def _mechanisms(self, *, plain: bool) -> tuple[str, ...]:
        return offered(self._service.get(OFFER_CRAM_MD5), plain)

    # ------------------------------------------------------------ the envelope

    async def handle_MAIL(self, session: SmtpSession, transaction: Transaction, mail: MailFrom) -> bytes:
        """Begin a message, if this client may send at all."""
        transaction.mail = mail
        transaction.started = clock.now()
        transaction.sending_user = self._find_sender(session, mail.reverse_path)
        reply = policy.refuse_sender(self._service, self._standing(session), mail.size)
        if reply is None:
            event = MailFromGiven(self._connection.client, session.login, session.helo, mail.reverse_path)
            verdict = await self._connection.hooks.on_mail_from(event)
            reply = replies.refused(verdict) if isinstance(verdict, Refuse) else None
        if reply is not None:
            transaction.refuse("", _words(reply))
            return reply
        transaction.begun = True
        return replies.SENDER_OK

    async def handle_RCPT(self, session: SmtpSession, transaction: Transaction, rcpt: RcptTo) -> bytes:
        """Accept a recipient, or say why not."""
        snapshot = self._connection.snapshot()
        address = self._with_domain(rcpt.address, snapshot)
        if address in transaction.accepted:
            return replies.RECIPIENT_OK
        if policy.is_full(self._service, len(transaction.accepted)):
            transaction.overshoot += 1
            reply: bytes | None = replies.TOO_MANY_RECIPIENTS
        else:
            recipient = Recipient(address, rcpt.notify, rcpt.original_recipient)
            reply = await self._admit(session, transaction, recipient, snapshot)
        if reply is not None:
            transaction.refuse(str(address), _words(reply))
            return reply
        return replies.RECIPIENT_OK

    async def _admit(
        self, session: SmtpSession, transaction: Transaction, recipient: Recipient, snapshot: Snapshot
    ) -> bytes | None:
        """Put it into the transaction, or give the reply that refuses it."""
        address = recipient.address
        hooks, reverse_path = self._connection.hooks, transaction.mail.reverse_path
        target = await ask_rules(address, snapshot, hooks, reverse_path, check=True)
        sender, size = transaction.sending_user, transaction.mail.size
        refusal = policy.refuse_recipient(self._service, self._standing(session), address, target, sender, size)
        if refusal is not None or isinstance(target, Unknown):
            return refusal or replies.USER_UNKNOWN
        event = RecipientGiven(
            self._connection.client, session.login, session.helo, transaction.mail.reverse_path, address
        )
        verdict = await self._connection.hooks.on_recipient(event)
        if isinstance(verdict, Refuse):
            return replies.refused(verdict)
        transaction.accept(recipient, target)
        return None

    def _standing(self, session: SmtpSession) -> Standing:
        return Standing(self._connection.client, session.user is not None and self._may_still_send(session.user.id))

    def _may_still_send(self, user_id: UserId) -> bool:
        """Who was disabled during the session may not. A user so new that the snapshot has not heard of it may."""
        user = self._connection.snapshot().directory.users.get(user_id)
        return user is None or (user.active and Protocol.SMTP in user.protocols)

    def _find_sender(self, session: SmtpSession, reverse_path: Address | None) -> User | None:
        """Who sends: by login, or by address where a trusted client did not log in (spec smtp-server 1.2)."""
        directory = self._connection.snapshot().directory
        if session.user is not None:
            return directory.users.get(session.user.id)
        trusted = self._connection.client.trusted and reverse_path is not None
        return directory.find(reverse_path) if trusted and reverse_path is not None else None

    def _with_domain(self, address: Address, snapshot: Snapshot) -> Address:
        """`<Postmaster>`, and mail to the address that the client connected to, are for the default domain."""
        local = self._connection.client.local_address
        if address.domain and address.domain not in (f"[{local}]", f"[ipv6:{local}]"):
            return address
        domains = snapshot.directory.domains
        return replace(address, domain=snapshot.get(DEFAULT_DOMAIN) or (domains[0] if domains else ""))

    def handle_VRFY(self, session: SmtpSession, argument: str) -> bytes:
        """RFC 5321 §3.5.3 and §7.3: who may not know gets 252, whether the address exists or not."""
        if not self._service.get(ENABLE_VRFY) or not self._standing(session).vouched_for:
            return replies.CANNOT_VERIFY
        snapshot = self._connection.snapshot()
        if "@" not in argument:
            user = snapshot.directory.find_login(argument)
            return replies.verified(str(user.address)) if user is not None else replies.USER_UNKNOWN
        try:
            target = resolve(parse_mailbox(argument), snapshot)
        except GrammarError as error:
            return replies.misunderstood(error)
        if isinstance(target, Local):
            return replies.verified(str(target.user.address))
        return replies.USER_UNKNOWN if isinstance(target, Unknown | Answer) else replies.CANNOT_VERIFY

    # ------------------------------------------------------------ the message

    async def handle_DATA(
        self, session: SmtpSession, transaction: Transaction, body: Body, *, eight_bit: bool
    ) -> bytes:
        """Through the pipeline and into the store; the reply is given once it is safe there, or refused."""
        snapshot = self._connection.snapshot()
        message = self._make_message(session, transaction, body, eight_bit=eight_bit)
        transaction.summary = message.summary
        refusal = self._refuse_outgoing(transaction, body.size)
        if refusal is None:
            verdict = await run_pipeline(message, snapshot, self._connection.hooks)
            refusal = replies.refused(verdict) if isinstance(verdict, Refuse) else None
        if refusal is not None:
            transaction.refuse("", _words(refusal))
            return refusal
        try:
            message = await plan_queueing(message, snapshot, self._connection.hooks)
            unit = build_unit(message, self._hostname)
            await self._commit(await add_delivery_report(unit, message, snapshot, self._connection.hooks))
        except MailError as error:
            return self._not_filed(transaction, error)
        transaction.refusals.clear()
        goes_out = any(isinstance(delivery.target, Remote | Lan) for delivery in message.deliveries)
        return replies.queued(message.ref) if goes_out else replies.filed(message.ref)

    def _make_message(
        self, session: SmtpSession, transaction: Transaction, body: Body, *, eight_bit: bool
    ) -> IncomingMessage:
        header = _read_header(body)
        return IncomingMessage(
            ref=transaction.ref,
            received=clock.now(),
            origin=self._origin(session, transaction),
            envelope=transaction.envelope(eight_bit=eight_bit),
            deliveries=tuple(transaction.accepted.values()),
            body=body,
            header=header,
            summary=summarise(header),
            refusals=tuple(transaction.refusals),
        )

    def _refuse_outgoing(self, transaction: Transaction, size: int) -> bytes | None:
        if any(isinstance(delivery.target, Remote) for delivery in transaction.accepted.values()):
            return policy.refuse_outgoing(transaction.sending_user, size)
        return None

    async def _commit(self, unit: Unit) -> None:
        """Wait for the store. Whoever ends the session meanwhile waits too, so that the client hears the outcome."""
        filed = asyncio.wrap_future(self._connection.store.submit(unit))
        try:
            await asyncio.shield(filed)
        except asyncio.CancelledError:
            self.interrupted = True
            await asyncio.wait((filed,))
            filed.result()

    def _not_filed(self, transaction: Transaction, error: MailError) -> bytes:
        """A mailbox that vanished since RCPT is a matter for the next try, when RCPT will say so."""
        log.warning("session %d: message %s not filed: %s", self._connection.live.id, transaction.ref, error)
        kind = Kind.UNAVAILABLE if error.kind is Kind.NOT_FOUND else error.kind
        reply = replies.FAILURES[kind]
        transaction.refuse("", _words(reply))
        return reply

    # ------------------------------------------------------------ refusals

    def record_refusals(self, session: SmtpSession, transaction: Transaction) -> None:
        """Leave a journey of what this transaction refused. Nobody waits for it; a failure is logged."""
        if not transaction.refusals or session.refusals_recorded >= MAX_REFUSALS_OF_SESSION:
            return
        session.refusals_recorded += 1
        refused = RefusedMessage(
            ref=transaction.ref,
            started=transaction.started,
            origin=self._origin(session, transaction),
            reverse_path=transaction.mail.reverse_path,
            refusals=tuple(transaction.refusals),
            summary=transaction.summary,
            size=transaction.size or transaction.mail.size or 0,
        )
        self._connection.store.submit(build_refusal(refused)).add_done_callback(_log_failure)

    def _origin(self, session: SmtpSession, transaction: Transaction) -> Origin:
        sender = transaction.sending_user
        return Origin(
            source=self._connection.source or Protocol.SMTP.value,
            client=self._connection.client,
            helo=session.helo,
            login=session.login,
            user=sender.id if sender is not None else None,
            extended=session.extended_smtp,
        )


def _read_header(body: Body) -> bytes:
    """The header section. Hardly ever is it longer than what is read at first; the rest may be a large file."""
    start = body.head(FIRST_READ_BYTES)
    complete = len(start) == body.size or b"\r\n\r\n" in start
    return header_section(start if complete else body.head())


def _words(reply: bytes) -> str:
    return reply.decode("ascii").strip()


def _log_failure(future: Future[UnitResult]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        log.warning("a refusal was not recorded: %s", error)
