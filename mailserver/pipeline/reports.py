# SPDX-License-Identifier: MIT
"""A report to a sender, as the unit that files it here or queues it, and remembers that he has been told.

RFC 3461 §6, RFC 5321 §4.5.5 (null reverse path). A report never makes another report: where there is nobody of the
return path's name, its journey says so, and that is all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from mailserver.addressing.resolve import Local, Unknown, resolve
from mailserver.config.catalog import DEFAULT_DOMAIN, RETURN_KILOBYTES
from mailserver.config.snapshot import Snapshot
from mailserver.hooks.interface import Hooks
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
from mailserver.mime.headers import header_section, summarise
from mailserver.mime.received import format_return_path
from mailserver.outqueue.outcome import Action
from mailserver.outqueue.report import DueReport, Original, Report, compose, needs_utf8
from mailserver.pipeline.filing import build_queued
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin
from mailserver.pipeline.queueing import plan_queueing
from mailserver.store.interface import Filing, NewContent, NewEntry, Reported, StoredContent, Unit
from mailserver.store.spool import SpoolWriter
from mailserver.values import Client, DsnNotify, DsnReturn, Envelope, Protocol, Recipient

SOURCE = "report"
DETAILS = {
    Action.FAILED: "Failure report",
    Action.DELAYED: "Warning that a message is late",
    Action.RELAYED: "Report that a message was passed on",
}
MAX_HEADER_BYTES = 256 * 1024


async def build_report_unit(
    due: DueReport,
    content: StoredContent | None,
    spool: SpoolWriter,
    snapshot: Snapshot,
    hooks: Hooks,
    now: datetime,
) -> Unit:
    """The report, written into the spool, and where it goes. `content` None: the message itself is gone."""
    told = (Reported(due.rows, delay=due.action is Action.DELAYED),)
    target = resolve(due.sender, snapshot)
    if isinstance(target, Unknown):
        step = JourneyStepRecord(
            due.ref, now, JourneyStep.REFUSED, str(due.sender), f"{DETAILS[due.action]}: there is nobody of this name"
        )
        return Unit(steps=(step,), reported=told)
    report = _make_report(due, content, snapshot, now)
    begun = b""
    for piece in compose(report, _whole(due, content, snapshot)):
        begun = begun or piece
        spool.write(piece)
    body = spool.finish()
    header = header_section(begun)
    summary = summarise(header)
    recipient = Recipient(due.sender, frozenset({DsnNotify.NEVER}))
    envelope = Envelope(None, (recipient,), smtputf8=needs_utf8(report), eight_bit=report.original.eight_bit)
    message = IncomingMessage(report.ref, now, ORIGIN, envelope, (Delivery(recipient, target),), body, header, summary)
    message = await plan_queueing(message, snapshot, hooks)
    return replace(_file(message, due), reported=told)


ORIGIN = Origin(SOURCE, Client(Protocol.SMTP, 0, 0, "", 0))
"""Written by this server: it came from nowhere."""


def _file(message: IncomingMessage, due: DueReport) -> Unit:
    """Into the Inbox of somebody here, or into the queue."""
    return_path = format_return_path(None)
    content = NewContent(message.ref, message.body, return_path, len(return_path), message.summary.fields)
    (delivery,) = message.deliveries
    if isinstance(delivery.target, Local):
        filing, kind = Filing(content, (NewEntry(delivery.target.user.inbox),)), JourneyStep.FILED
    else:
        filing, kind = Filing(content, queued=(build_queued(message.envelope, message),)), JourneyStep.QUEUED
    detail = f"{DETAILS[due.action]}, about {due.ref}"
    step = JourneyStepRecord(message.ref, message.received, kind, str(delivery.recipient.address), detail)
    return Unit(filings=(filing,), journeys=(_journey(message),), steps=(step, _told_step(message, due)))


def _told_step(message: IncomingMessage, due: DueReport) -> JourneyStepRecord:
    """In the journey of the message that the report is about."""
    detail = f"{DETAILS[due.action]} {message.ref}"
    return JourneyStepRecord(due.ref, message.received, JourneyStep.REPORTED, str(due.sender), detail)


def _journey(message: IncomingMessage) -> JourneyRecord:
    fields = message.summary.fields
    return JourneyRecord(
        message.ref,
        message.received,
        SOURCE,
        sender="<>",
        header_from=fields.get("from", ""),
        subject=fields.get("subject", ""),
        message_id=fields.get("message-id", ""),
        size=message.body.size,
    )


def _make_report(due: DueReport, content: StoredContent | None, snapshot: Snapshot, now: datetime) -> Report:
    header = _header(content)
    domains = snapshot.directory.domains
    original = Original(
        ref=due.ref,
        sender=due.sender,
        subject=due.subject,
        message_id=summarise(header).fields.get("message-id", ""),
        queued=due.queued,
        header=header,
        envelope_id=due.envelope_id,
        smtputf8=due.smtputf8,
        eight_bit=content is not None and any(not piece.isascii() for piece in content.chunks()),
    )
    return Report(
        ref=next_ref(),
        action=due.action,
        original=original,
        recipients=due.recipients,
        hostname=snapshot.hostname,
        domain=snapshot.get(DEFAULT_DOMAIN) or (domains[0] if domains else snapshot.hostname),
        written=now,
        expires=due.expires,
    )


def _whole(due: DueReport, content: StoredContent | None, snapshot: Snapshot) -> Iterator[bytes] | None:
    """RFC 3461 §4.3: all of it comes back with a failure, if the sender said so, or said nothing and it is small."""
    if content is None or due.action is not Action.FAILED or due.dsn_return is DsnReturn.HEADERS:
        return None
    if due.dsn_return is None and due.size > snapshot.get(RETURN_KILOBYTES) * 1024:
        return None
    return content.chunks(relay=True)


def _header(content: StoredContent | None) -> bytes:
    start = b""
    for piece in content.chunks(relay=True) if content is not None else ():
        start += piece
        if b"\r\n\r\n" in start or len(start) > MAX_HEADER_BYTES:
            break
    return header_section(start)
