# SPDX-License-Identifier: MIT
"""Telling of a collected message that is for nobody here: to the administrator with the original, or to its sender.

Spec connectors 4.5. RFC 3464 (a report in three parts), RFC 6522 §4 (text/rfc822-headers), RFC 3834 §5. The original
may be large, so the notice is written piece by piece into a spool.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.addressing.syntax import format_mailbox
from mailserver.journey.records import JourneyStep, next_ref
from mailserver.mime.dates import format_date
from mailserver.mime.headers import header_section, summarise
from mailserver.pipeline.collected import Placed, Report
from mailserver.pipeline.filing import PRODUCT, build_unit
from mailserver.pipeline.message import IncomingMessage, Origin
from mailserver.store.interface import Unit
from mailserver.store.spool import SpoolWriter
from mailserver.values import Body, Client, Envelope, Protocol

ORIGIN = Origin("notice", Client(Protocol.SMTP, 0, 0, "", 0))
"""Written by this server: it came from nowhere."""
DETAIL = "Notice of a routing error"

SUBJECTS = {False: "A collected message is for nobody here", True: "Undelivered mail returned to sender"}
TEXT_TO_ADMINISTRATOR = """\
The collector "{collector}" fetched the message below, and cannot tell whom it is for:

  {problem}

From:    {sender}
Subject: {subject}

The message is attached. What happens to such messages is decided by the collector's routing errors.
"""
TEXT_TO_SENDER = """\
Your message could not be delivered:

  {problem}

Subject: {subject}

Please check the address, and send the message again if it was wrong.
"""


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A notice, complete: its body is in a spool, which belongs to whoever files it."""

    ref: str
    report: Report
    body: Body
    header: bytes
    written: datetime


def write_report(spool: SpoolWriter, placed: Placed, report: Report, domain: str, now: datetime) -> WrittenReport:
    """Compose the notice, from postmaster at `domain`. Blocks while it copies the original.

    Raises what `SpoolWriter` raises.
    """
    ref = next_ref()
    begun = b""
    for piece in _compose(placed, report, domain, now, ref):
        begun = begun or piece
        spool.write(piece)
    return WrittenReport(ref, report, spool.finish(), header_section(begun), now)


def add_report(unit: Unit, written: WrittenReport, hostname: str) -> Unit:
    """The unit of the collected message with its notice: both are filed, or neither."""
    delivery = written.report.to
    message = IncomingMessage(
        written.ref,
        written.written,
        ORIGIN,
        Envelope(None, (delivery.recipient,), eight_bit=True),
        (delivery,),
        written.body,
        written.header,
        summarise(written.header),
    )
    more = build_unit(message, hostname)
    filings = (  # It has come from nowhere: no trace line.
        replace(filing, content=replace(filing.content, head=b"", return_path_size=0)) for filing in more.filings
    )
    steps = (replace(step, detail=DETAIL) for step in more.steps if step.kind is not JourneyStep.ACCEPTED)
    return replace(
        unit,
        filings=(*unit.filings, *filings),
        journeys=(*unit.journeys, *more.journeys),
        steps=(*unit.steps, *steps),
    )


def _compose(placed: Placed, report: Report, domain: str, now: datetime, ref: str) -> Iterator[bytes]:
    """Header and first part, the report for programs where it is one, and the original."""
    boundary = f"=_{secrets.token_hex(16)}"
    fields = placed.message.summary.fields
    texts = {
        "collector": placed.message.origin.collector,
        "problem": report.problem,
        "sender": fields.get("from", "unknown"),
        "subject": fields.get("subject", "(none)"),
    }
    yield _header(report, domain, now, ref, boundary)
    opening = f"--{boundary}\r\n".encode()
    text = (TEXT_TO_SENDER if report.bounce else TEXT_TO_ADMINISTRATOR).format(**texts)
    yield opening + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    yield text.replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n"
    if report.bounce:
        yield opening + _delivery_status(placed, report, domain)
        yield opening + b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        yield placed.message.header + b"\r\n"
    else:
        yield opening + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        yield from placed.message.body.chunks()
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _header(report: Report, domain: str, now: datetime, ref: str, boundary: str) -> bytes:
    kind = "multipart/report; report-type=delivery-status" if report.bounce else "multipart/mixed"
    lines = (
        f"From: Mail Delivery System <postmaster@{domain}>",
        f"To: <{format_mailbox(report.to.recipient.address)}>",
        f"Subject: {SUBJECTS[report.bounce]}",
        f"Date: {format_date(now)}",
        f"Message-ID: <{ref}@{domain}>",
        f"Auto-Submitted: {'auto-replied' if report.bounce else 'auto-generated'}",
        "MIME-Version: 1.0",
        f"Content-Type: {kind};",
        f'\tboundary="{boundary}"',
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _delivery_status(placed: Placed, report: Report, domain: str) -> bytes:
    """RFC 3464 §2: whom we could not find, in a form for programs."""
    lines = [
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {domain}",
        f"X-{PRODUCT}-Ref: {placed.message.ref}",
        "",
    ]
    for address in [format_mailbox(address) for address in report.unknown] or ["unknown-recipient"]:
        lines += [
            f"Final-Recipient: rfc822; {address}",
            "Action: failed",
            "Status: 5.1.1",
            f"Diagnostic-Code: X-{PRODUCT}; {_one_line(report.problem)}",
            "",
        ]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(text.split())
