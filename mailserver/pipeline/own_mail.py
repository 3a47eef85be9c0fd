# SPDX-License-Identifier: MIT
"""Messages that this server writes itself, as the unit that puts one into a user's Inbox with its journey. Pure.

RFC 5322 §3.6 (header fields), RFC 3834 §5 (nobody's autoresponder shall answer it).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord
from mailserver.mime.headers import header_section, summarise
from mailserver.store.interface import Filing, LanTarget, NewContent, NewEntry, NewQueued, Unit
from mailserver.values import Address, Body, Envelope, MailboxId, Recipient


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """What to write to whom. `source` says in the journey where it comes from, `detail` what it is."""

    ref: str
    source: str
    sender: str
    sender_name: str
    recipient: str
    recipient_name: str
    subject: str
    text: str
    detail: str = ""
    reply_to: str = ""
    message_id: str = ""
    """The part before the @, where `ref` will not do."""


def build_own_unit(message: OwnMessage, inbox: MailboxId | None, now: datetime, lan: LanTarget | None = None) -> Unit:
    """The message, its place in the Inbox and its journey: all of it happens, or none. Without an Inbox it goes out, or
    to a server of our own network."""
    parsed = _compose(message, now)
    data = parsed.as_bytes()
    body = Body(size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=data)
    content = NewContent(message.ref, body, fields=summarise(header_section(data)).fields)
    journey = JourneyRecord(
        message.ref,
        now,
        message.source,
        header_from=str(parsed["From"]),
        subject=message.subject,
        message_id=str(parsed["Message-ID"]),
        size=len(data),
    )
    if inbox is not None:
        kind, filing = JourneyStep.FILED, Filing(content, (NewEntry(inbox),))
    else:
        local, _, domain = message.recipient.rpartition("@")
        envelope = Envelope(None, (Recipient(Address(local, domain)),), eight_bit=True)
        kind, filing = JourneyStep.QUEUED, Filing(content, queued=(NewQueued(envelope, lan=lan),))
    step = JourneyStepRecord(message.ref, now, kind, message.recipient, message.detail)
    return Unit(filings=(filing,), journeys=(journey,), steps=(step,))


def _compose(message: OwnMessage, now: datetime) -> EmailMessage:
    composed = EmailMessage(policy=SMTP)
    composed["From"] = HeaderAddress(message.sender_name, addr_spec=message.sender)
    composed["To"] = HeaderAddress(message.recipient_name, addr_spec=message.recipient)
    composed["Subject"] = message.subject
    composed["Date"] = format_datetime(now)
    if message.reply_to:
        composed["Reply-To"] = HeaderAddress(addr_spec=message.reply_to)
    composed["Message-ID"] = f"<{message.message_id or message.ref}@{message.sender.rpartition('@')[2]}>"
    composed["Auto-Submitted"] = "auto-generated"
    composed.set_content(message.text)
    return composed
