# SPDX-License-Identifier: MIT
"""LOGIN and AUTHENTICATE.

RFC 9051 §6.2.2, §6.2.3; RFC 4959 (SASL-IR); spec services 1.7 and 2.2. After the credentials come the limits on
sessions and the lock that keeps POP3 out; neither refusal counts as a failed login.
"""

from __future__ import annotations

import base64
import logging

from mailserver.config.catalog import MAX_FAILED_LOGINS
from mailserver.errors import Kind, MailError
from mailserver.users.authentication import LoggedInUser
from protocols.imap import replies
from protocols.imap.commands import Authenticate, Command, Login
from protocols.imap.handlers.connection import capabilities_of, may_send_plainly, mechanisms_of
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion, Continuation
from protocols.imap.session import Exchange, Session
from protocols.sasl import login as sasl
from protocols.sasl.mechanisms import Challenge, offered

log = logging.getLogger("pillarbox.imap")


async def _login(session: Session, command: Login) -> Completion:
    if not may_send_plainly(session):
        return replies.privacy_required(command)
    try:
        user = await _new_login(session).by_password(command.user, command.password)
    except MailError as error:
        return _refuse(session, command, error)
    return await _enter(session, command, user)


async def _authenticate(session: Session, command: Authenticate) -> Completion | Continuation:
    if command.mechanism not in mechanisms_of(session):
        known = command.mechanism in offered(service_offers_cram=False, plain_allowed=True)
        return replies.mechanism_refused(command, known=known)
    session.exchange = Exchange(command, _new_login(session))
    return await _go_on(session, await session.exchange.login.begin(command.mechanism, command.initial))


async def take_response(session: Session, response: bytes | None) -> Completion | Continuation:
    """The client's answer to a challenge; None when it has given up."""
    exchange = session.exchange
    assert exchange is not None
    if response is None:
        session.exchange = None
        return replies.cancelled(exchange.command)
    return await _go_on(session, await exchange.login.answer(response))


async def _go_on(session: Session, outcome: sasl.Outcome) -> Completion | Continuation:
    assert session.exchange is not None
    if isinstance(outcome, Challenge):
        return Continuation(base64.b64encode(outcome.data))
    command = session.exchange.command
    session.exchange = None
    if isinstance(outcome, sasl.Success):
        return await _enter(session, command, outcome.user)
    if outcome.malformed:
        _refuse(session, command, outcome.error)
        return replies.malformed_exchange(command)
    return _refuse(session, command, outcome.error)


async def _enter(session: Session, command: Command, user: LoggedInUser) -> Completion:
    """Spec services 1.7, rule 6: limits and lock come after the credentials, the bandwidth last."""
    try:
        await session.occupy(user)
    except MailError as error:
        log.info("IMAP4 session %d, login of %s refused: %s", session.client.session, user.address, error)
        session.connection.transcript.note(f"login of {user.address} refused: {error}")
        if error.kind is not Kind.LIMIT_REACHED:
            return replies.failed(command, error)
        session.farewell = replies.TOO_MANY_LOGINS
        return replies.login_limit_reached(command)
    await session.connection.apply_bandwidth(user.id)
    return replies.logged_in(command, capabilities_of(session))


def _refuse(session: Session, command: Command, error: MailError) -> Completion:
    """Only wrong credentials count towards the end of the session."""
    log.info("IMAP4 session %d, login refused: %s", session.client.session, error)
    if error.kind is Kind.BAD_CREDENTIALS:
        session.failed_logins += 1
        if session.failed_logins >= session.connection.service.get(MAX_FAILED_LOGINS):
            session.farewell = replies.TOO_MANY_FAILURES
    return replies.failed(command, error)


def _new_login(session: Session) -> sasl.Login:
    connection = session.connection
    return sasl.Login(connection.authenticator, connection.offload, session.client, session.snapshot().hostname)


HANDLERS: Handlers = {Login: _login, Authenticate: _authenticate}
