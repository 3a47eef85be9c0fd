# SPDX-License-Identifier: MIT
"""A report to a sender, as the unit that files it here or queues it, and remembers that he has been told.

RFC 3461 §6, RFC 5321 §4.5.5 (null reverse path). A report never makes another report: where there is nobody of the
return path's name, its journey says so, and that is all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from mailserver.addressing.resolve import Deliverable, Local, Unknown, resolve
from mailserver.config.catalog import DEFAULT_DOMAIN, RETURN_KILOBYTES, TIME_ZONE
from mailserver.config.snapshot import Snapshot
from mailserver.hooks.interface import Hooks
from mailserver.journey.records import JourneyStep, JourneyStepRecord, next_ref
from mailserver.mime.headers import header_section, summarise
from mailserver.mime.received import format_return_path
from mailserver.outqueue.outcome import Action
from mailserver.outqueue.report import DueReport, Original, Report, ReportedOne, compose, needs_utf8
from mailserver.pipeline.filing import build_unit
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin
from mailserver.pipeline.queueing import plan_queueing
from mailserver.store.interface import Reported, StoredContent, Unit
from mailserver.store.spool import SpoolWriter
from mailserver.values import Body, Client, ContentId, DsnNotify, DsnReturn, Envelope, Protocol, Recipient

SOURCE = "report"
DETAILS = {
    Action.FAILED: "Failure report",
    Action.DELAYED: "Warning that a message is late",
    Action.RELAYED: "Report that a message was passed on",
    Action.DELIVERED: "Report that a message was delivered",
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
        return Unit(steps=(_nobody(due, now),), reported=told)
    eight_bit = content is not None and any(not piece.isascii() for piece in content.chunks())
    report = _make_report(due, _header(content), snapshot, now, eight_bit=eight_bit)
    begun = b""
    for piece in compose(report, _whole(due, content, snapshot)):
        begun = begun or piece
        spool.write(piece)
    message = _make_message(report, target, spool.finish(), header_section(begun))
    message = await plan_queueing(message, snapshot, hooks)
    return replace(_file(message, due, snapshot), reported=told)


async def add_delivery_report(unit: Unit, incoming: IncomingMessage, snapshot: Snapshot, hooks: Hooks) -> Unit:
    """RFC 3461 §5.2.3: who asked for it is told, by the very unit that files the message, whom here it reached."""
    sender = incoming.envelope.reverse_path
    reached = [delivery.recipient for delivery in incoming.deliveries if isinstance(delivery.target, Local)]
    reached = [recipient for recipient in reached if DsnNotify.SUCCESS in recipient.notify]
    target = resolve(sender, snapshot) if sender is not None else None
    if sender is None or not reached or target is None or isinstance(target, Unknown):
        return unit
    due = DueReport(
        ref=incoming.ref,
        action=Action.DELIVERED,
        rows=(),
        recipients=tuple(ReportedOne(one.address, one.original_recipient) for one in reached),
        sender=sender,
        content=ContentId(0),
        size=incoming.body.size,
        subject=incoming.summary.fields.get("subject", ""),
        queued=incoming.received,
        dsn_return=incoming.envelope.dsn_return,
        envelope_id=incoming.envelope.envelope_id,
        smtputf8=incoming.envelope.smtputf8,
        expires=None,
    )
    eight_bit = not incoming.header.isascii()
    report = _make_report(due, incoming.header, snapshot, incoming.received, eight_bit=eight_bit)
    data = b"".join(compose(report))
    body = Body(size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=data)
    message = await plan_queueing(_make_message(report, target, body, header_section(data)), snapshot, hooks)
    more = _file(message, due, snapshot)
    return replace(
        unit,
        filings=unit.filings + more.filings,
        journeys=unit.journeys + more.journeys,
        steps=unit.steps + more.steps,
        work=unit.work + more.work,
    )


ORIGIN = Origin(SOURCE, Client(Protocol.SMTP, 0, 0, "", 0))
"""Written by this server: it came from nowhere."""


def _make_message(report: Report, target: Deliverable, body: Body, header: bytes) -> IncomingMessage:
    recipient = Recipient(report.original.sender, frozenset({DsnNotify.NEVER}))
    envelope = Envelope(None, (recipient,), smtputf8=needs_utf8(report), eight_bit=report.original.eight_bit)
    deliveries = (Delivery(recipient, target),)
    return IncomingMessage(report.ref, report.written, ORIGIN, envelope, deliveries, body, header, summarise(header))


def _file(message: IncomingMessage, due: DueReport, snapshot: Snapshot) -> Unit:
    """As any message is filed or queued, but without a Received line: it has come from nowhere."""
    unit = build_unit(message, snapshot.hostname)
    if not unit.filings:
        return Unit(steps=(_nobody(due, message.received),))
    (filing,) = unit.filings
    return_path = format_return_path(None)
    content = replace(filing.content, head=return_path, return_path_size=len(return_path))
    detail = f"{DETAILS[due.action]}, about {due.ref}"
    steps = tuple(replace(step, detail=detail) for step in unit.steps if step.kind is not JourneyStep.ACCEPTED)
    told = f"{DETAILS[due.action]} {message.ref}"
    step = JourneyStepRecord(due.ref, message.received, JourneyStep.REPORTED, str(due.sender), told)
    return replace(unit, filings=(replace(filing, content=content),), steps=(*steps, step))


def _nobody(due: DueReport, now: datetime) -> JourneyStepRecord:
    detail = f"{DETAILS[due.action]}: there is nobody of this name"
    return JourneyStepRecord(due.ref, now, JourneyStep.REFUSED, str(due.sender), detail)


def _make_report(due: DueReport, header: bytes, snapshot: Snapshot, now: datetime, *, eight_bit: bool) -> Report:
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
        eight_bit=eight_bit,
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
        zone=snapshot.get(TIME_ZONE),
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
