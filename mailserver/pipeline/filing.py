# SPDX-License-Identifier: MIT
"""From a message that was accepted, or refused, to the unit that the store writes. Pure.

RFC 5321 §4.4 (trace lines), RFC 6409 §8 (what a submission server completes). A user who is addressed twice, also
under two names, gets one copy (as does a remote address): later ones are only noted in the journey.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.addressing.resolve import Answer, Lan, Local
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord
from mailserver.mime.dates import format_date
from mailserver.mime.headers import HeaderSummary
from mailserver.mime.mailboxes import list_fields
from mailserver.mime.received import Hop, format_received, format_return_path, transmission_keyword
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin, Queueing, Refusal, sender_text
from mailserver.spans import format_span
from mailserver.store.interface import Filing, LanTarget, NewContent, NewEntry, NewQueued, NewWork, Unit
from mailserver.values import Address, Envelope, MailboxId, Recipient

PRODUCT = "Pillarbox"
URGENT_CONNECT_WORK = "urgent-connect"
"""The kind of work that has the default Connections run at once (spec connectors 3.6)."""
ANSWER_WORK = "fetch-answer"
"""The kind of work that notes whose message shall be fetched (spec connectors 4.7)."""
_BY_HAND = re.compile(r"\s*no\b", re.IGNORECASE)


def build_unit(message: IncomingMessage, hostname: str) -> Unit:
    """Entries, queue rows and the journey of one accepted message: all of it happens, or none.

    A message that nobody gets (a collected one that turns out to be a duplicate) leaves its journey only.
    """
    journey = _build_journey(
        message.ref,
        message.received,
        message.origin,
        message.envelope.reverse_path,
        message.summary,
        message.body.size,
    )
    if not message.deliveries:
        return Unit(journeys=(journey,), steps=tuple(_build_steps(message)))
    entries, queued = _sort(message.deliveries)
    forwarded = _build_forwarded(message)
    answers = _build_answers(message)
    if not (entries or queued or forwarded):
        return Unit(journeys=(journey,), steps=tuple(_build_steps(message)), work=answers)
    envelope = replace(message.envelope, recipients=tuple(queued))
    filing = Filing(
        _build_content(message, hostname),
        tuple(entries.values()),
        ((build_queued(envelope, message),) if queued else ()) + forwarded,
    )
    work = (NewWork(URGENT_CONNECT_WORK),) if queued and message.queueing.connect else ()
    return Unit(filings=(filing,), journeys=(journey,), steps=tuple(_build_steps(message)), work=work + answers)


def build_queued(envelope: Envelope, message: IncomingMessage) -> NewQueued:
    """What is queued for the recipients of this envelope, as the message's `queueing` says."""
    origin, queueing = message.origin, message.queueing
    return NewQueued(
        envelope,
        origin.user,
        login=origin.login,
        client=origin.client.address,
        priority=queueing.priority,
        urgent=queueing.urgent,
        hold=queueing.hold,
        hold_seconds=queueing.hold_seconds,
        delete_after_seconds=queueing.delete_after_seconds,
    )


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """What is known of something that was not taken; the header only when it came so far."""

    ref: str
    started: datetime
    origin: Origin
    reverse_path: Address | None
    refusals: tuple[Refusal, ...]
    summary: HeaderSummary
    size: int = 0


def build_refusal(refused: RefusedMessage) -> Unit:
    """The journey of something that was not taken, and nothing else."""
    journey = _build_journey(
        refused.ref, refused.started, refused.origin, refused.reverse_path, refused.summary, refused.size
    )
    return Unit(journeys=(journey,), steps=_refused_steps(refused.ref, refused.refusals))


def _sort(deliveries: Iterable[Delivery]) -> tuple[dict[MailboxId, NewEntry], list[Recipient]]:
    """One entry for each mailbox, one queue row for each remote address."""
    entries: dict[MailboxId, NewEntry] = {}
    queued: dict[Address, Recipient] = {}
    for delivery in deliveries:
        address = delivery.recipient.address
        if isinstance(delivery.target, Local):
            inbox = delivery.target.user.inbox
            if inbox not in entries:
                entries[inbox] = NewEntry(inbox)
        elif not isinstance(delivery.target, Answer | Lan):
            queued.setdefault(address, delivery.recipient)
    return entries, list(queued.values())


def lan_target(target: Lan) -> LanTarget:
    """How the queue names a server of our own network."""
    return LanTarget(target.rule.server, target.rule.login, target.rule.secret)


def _build_forwarded(message: IncomingMessage) -> tuple[NewQueued, ...]:
    """LAN forwarding has a queue of its own: one part for each server and return path, each address there once."""
    parts: dict[tuple[LanTarget, Address | None], dict[Address, Recipient]] = {}
    for delivery in message.deliveries:
        if isinstance(target := delivery.target, Lan):
            server = lan_target(target)
            path = message.envelope.reverse_path
            key = (server, path if path is None else target.return_path or path)
            recipient = replace(delivery.recipient, address=target.address)
            parts.setdefault(key, {}).setdefault(target.address, recipient)
    origin = message.origin
    return tuple(
        NewQueued(
            replace(message.envelope, reverse_path=path, recipients=tuple(recipients.values())),
            origin.user,
            login=origin.login,
            client=origin.client.address,
            lan=server,
        )
        for (server, path), recipients in parts.items()
    )


def _build_answers(message: IncomingMessage) -> tuple[NewWork, ...]:
    """What people have answered; what a program answers by itself is nobody's wish (RFC 3834 §5)."""
    if any(not _BY_HAND.match(value) for _, value in list_fields(message.header, ("auto-submitted",))):
        return ()
    tokens = dict.fromkeys(d.target.token for d in message.deliveries if isinstance(d.target, Answer))
    return tuple(NewWork(ANSWER_WORK, {"token": token}) for token in tokens)


def _build_content(message: IncomingMessage, hostname: str) -> NewContent:
    known = message.origin.return_path_known
    return_path = format_return_path(message.envelope.reverse_path) if known else b""
    head = return_path + format_received(_build_hop(message, hostname)) + _complete(message, hostname)
    if not message.header and message.body.head(2) != b"\r\n":
        head += b"\r\n"  # A message without a header section: its text must not continue ours.
    return NewContent(message.ref, message.body, head, len(return_path), message.summary.fields)


def _build_hop(message: IncomingMessage, hostname: str) -> Hop:
    origin = message.origin
    only = message.deliveries[0].recipient.address if len(message.deliveries) == 1 else None
    return Hop(
        client_address=origin.client.address,
        helo=origin.helo,
        hostname=hostname,
        product=PRODUCT,
        keyword=_keyword(origin, message.envelope),
        ref=message.ref,
        received=message.received,
        tls=origin.client.tls,
        only_recipient=only,
    )


def _keyword(origin: Origin, envelope: Envelope) -> str:
    return origin.keyword or transmission_keyword(
        extended=origin.extended,
        encrypted=origin.client.encrypted,
        authenticated=bool(origin.login),
        smtputf8=envelope.smtputf8,
    )


def _complete(message: IncomingMessage, hostname: str) -> bytes:
    """RFC 6409 §8.2 and §8.3: Date and Message-ID, where one of our own (a user, or a scanner that an access rule
    lets send without a login) left them out."""
    if not (message.origin.login or message.origin.client.trusted):
        return b""
    lines = ""
    if "date" not in message.summary.fields:
        lines += f"Date: {format_date(message.received)}\r\n"
    if "message-id" not in message.summary.fields:
        lines += f"Message-ID: <{message.ref}@{hostname}>\r\n"
    return lines.encode()


def _build_journey(
    ref: str, started: datetime, origin: Origin, reverse_path: Address | None, summary: HeaderSummary, size: int
) -> JourneyRecord:
    return JourneyRecord(
        ref=ref,
        started=started,
        source=origin.source,
        client=origin.client.address,
        helo=origin.helo,
        login=origin.login,
        sender=sender_text(reverse_path),
        header_from=summary.fields.get("from", ""),
        subject=summary.fields.get("subject", ""),
        message_id=summary.fields.get("message-id", ""),
        size=size,
    )


def _build_steps(message: IncomingMessage) -> list[JourneyStepRecord]:
    ref, at, origin = message.ref, message.received, message.origin
    how = f"{_keyword(origin, message.envelope)} from {origin.client.address or 'unknown'}"
    if origin.collector:
        how += f", by the collector {origin.collector}"
    steps = [JourneyStepRecord(ref, at, JourneyStep.ACCEPTED, detail=how)]
    for delivery in message.deliveries:
        recipient = str(delivery.recipient.address)
        if isinstance(delivery.target, Local):
            detail = f"Inbox of {delivery.target.user.address}"
            steps.append(JourneyStepRecord(ref, at, JourneyStep.FILED, recipient, detail))
        elif isinstance(delivery.target, Answer):
            detail = "An answer to this server: the message that was asked about is fetched with the next collection"
            steps.append(JourneyStepRecord(ref, at, JourneyStep.ANSWERED, recipient, detail))
        else:
            steps.append(JourneyStepRecord(ref, at, JourneyStep.QUEUED, recipient, _held(message.queueing)))
    steps.extend(_refused_steps(ref, message.refusals))
    return steps


def _held(queueing: Queueing) -> str:
    """Why a message that was queued does not leave at once."""
    if queueing.hold:
        return "Held until it is released"
    return f"Held for {format_span(queueing.hold_seconds)}" if queueing.hold_seconds else ""


def _refused_steps(ref: str, refusals: Iterable[Refusal]) -> tuple[JourneyStepRecord, ...]:
    return tuple(
        JourneyStepRecord(ref, refusal.at, JourneyStep.REFUSED, refusal.recipient, refusal.detail)
        for refusal in refusals
    )
