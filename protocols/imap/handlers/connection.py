# SPDX-License-Identifier: MIT
"""Commands about the connection itself: what the server can do, TLS, compression, waiting, and good-bye.

RFC 9051 §6.1, §6.2.1, §6.3.1, §6.3.13; RFC 2971 (ID), RFC 4978 (COMPRESS), RFC 5161 (ENABLE), RFC 8437
(UNAUTHENTICATE); RFC 3501 §6.4.1 (CHECK).
"""

from __future__ import annotations

from mailserver.config.catalog import MAX_APPEND_BYTES, OFFER_CRAM_MD5, OFFER_IDLE
from protocols.imap import replies, untagged
from protocols.imap.capabilities import ENABLEABLE, Standing, list_capabilities
from protocols.imap.commands import (
    Capability,
    Check,
    Compress,
    Enable,
    Id,
    Idle,
    Logout,
    Noop,
    StartTls,
    Unauthenticate,
)
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion, Continuation
from protocols.imap.session import Session, client_words
from protocols.sasl.login import may_send_password
from protocols.sasl.mechanisms import offered


def capabilities_of(session: Session) -> tuple[str, ...]:
    """What works for this client now, less what is hidden from it."""
    connection = session.connection
    service = connection.service
    plain = may_send_plainly(session)
    standing = Standing(
        logged_in=session.user is not None,
        mechanisms=mechanisms_of(session),
        starttls=not session.client.encrypted and connection.tls_context() is not None,
        plain_login=plain,
        compress=not session.compressed,
        idle=service.get(OFFER_IDLE),
        append_limit=service.get(MAX_APPEND_BYTES),
    )
    user = session.user.id if session.user is not None else None
    return list_capabilities(standing, session.snapshot().hidden_from(user, client_words(session.client_id)))


def may_send_plainly(session: Session) -> bool:
    """Whether LOGIN and the mechanisms that send a password may be used."""
    service = session.connection.service
    required = service.require_encrypted_login or service.encryption == "tls"
    return may_send_password(session.client, encryption_required=required)


def mechanisms_of(session: Session) -> tuple[str, ...]:
    """SASL mechanisms that may be used now; none where the service wants TLS first."""
    service = session.connection.service
    plain = may_send_plainly(session)
    if service.encryption == "tls" and not plain:
        return ()
    return offered(service.get(OFFER_CRAM_MD5), plain_allowed=plain)


async def _capability(session: Session, command: Capability) -> Completion:
    await session.send_untagged(untagged.capability(capabilities_of(session)))
    return replies.completed(command)


async def _noop(session: Session, command: Noop | Check) -> Completion:
    """Asks the store, unless that has just been done, whether a notice has come or not."""
    if session.selected is not None and not session.selected.gone:
        await session.selected.index.look_again()
    return replies.completed(command)


async def _logout(session: Session, command: Logout) -> Completion:
    await session.send_untagged(session.machine.send(replies.LOGOUT))
    return replies.completed(command)


async def _id(session: Session, command: Id) -> Completion:
    """RFC 2971 §3.1: nothing depends on it, but what is hidden from a client that trips over it."""
    for name, value in command.parameters or ():
        session.client_id[name.lower()] = value or ""
    session.connection.transcript.note(f"the client is {client_words(session.client_id) or 'nameless'}")
    await session.send_untagged(untagged.identification({"name": replies.PRODUCT}))
    return replies.completed(command)


async def _enable(session: Session, command: Enable) -> Completion:
    """Unknown words are passed over (RFC 5161 §3.1); words hidden from the client are unknown."""
    hidden = session.snapshot().hidden_from(session.owner.id, client_words(session.client_id))
    wanted = {word for word in command.capabilities if word in ENABLEABLE and word not in hidden}
    fresh = sorted(wanted - session.enabled)
    session.enable(wanted)
    await session.send_untagged(untagged.enabled("IMAP4rev2" if word == "IMAP4REV2" else word for word in fresh))
    return replies.completed(command)


async def _starttls(session: Session, command: StartTls) -> Completion:
    """The server switches after the OK."""
    if session.client.encrypted:
        return replies.tls_is_on(command)
    if session.connection.tls_context() is None:
        return replies.no_tls(command)
    return replies.begin_tls(command)


async def _compress(session: Session, command: Compress) -> Completion:
    """The server switches after the OK."""
    if command.mechanism != "DEFLATE":
        return replies.unknown_compression(command)
    if session.compressed:
        return replies.compression_active(command)
    return replies.completed(command)


async def _unauthenticate(session: Session, command: Unauthenticate) -> Completion:
    await session.reset()
    return replies.completed(command)


async def _idle(session: Session, command: Idle) -> Completion | Continuation:
    if not session.connection.service.get(OFFER_IDLE):
        return replies.idle_is_off(command)
    session.idling = True
    session.wake()  # What has happened before is told at once.
    return replies.IDLING


HANDLERS: Handlers = {
    Capability: _capability,
    Noop: _noop,
    Check: _noop,
    Logout: _logout,
    Id: _id,
    Enable: _enable,
    StartTls: _starttls,
    Compress: _compress,
    Unauthenticate: _unauthenticate,
    Idle: _idle,
}
