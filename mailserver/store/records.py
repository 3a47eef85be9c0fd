# SPDX-License-Identifier: MIT
"""Rows of other areas that the group commit writes with the mail they belong to: journeys, the queue, work.

They are written in bulk and in the unit's transaction (design section 4), which is why it happens here. Everything
else about these rows is their areas' business. What a peer has said is cut to the width of its column and cleaned
of what a database cannot hold, so that no message is refused for the length of its subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from mailserver.journey.models import Journey, JourneyEvent
from mailserver.journey.records import JourneyRecord, JourneyStepRecord
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.bulk import Row, Table
from mailserver.store.interface import LanTarget, NewContent, NewQueued, NewWork
from mailserver.values import ContentId, Recipient
from mailserver.work.models import WorkItem

JOURNEYS = Table(
    Journey,
    "ref",
    "started",
    "source",
    "client",
    "helo",
    "login",
    "sender",
    "header_from",
    "subject",
    "message_id",
    "size",
)
QUEUED_COLUMNS = (
    "recipient", "domain", "notify", "original_recipient", "ref", "content", "user", "reverse_path", "dsn_return",
    "envelope_id", "smtputf8", "eight_bit", "size", "queued", "login", "client", "subject", "priority", "urgent",
    "status", "hold_until", "delete_after", "route", "lan_server", "lan_login", "lan_secret",
)  # fmt: skip
QUEUED = Table(QueuedRecipient, *QUEUED_COLUMNS)
STEPS = Table(JourneyEvent, "journey", "at", "kind", "recipient", "detail")


def clean(text: str) -> str:
    """Without NUL, which PostgreSQL cannot store, and lone surrogates, which nobody can."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def fit(text: str, length: int) -> str:
    """Clean, and cut to the width of its column."""
    return clean(text[:length])


def journey_row(record: JourneyRecord) -> Row:
    return (
        record.ref,
        record.started,
        fit(record.source, 20),
        fit(record.client, 64),
        fit(record.helo, 255),
        fit(record.login, 320),
        fit(record.sender, 320),
        fit(record.header_from, 320),
        fit(record.subject, 400),
        fit(record.message_id, 400),
        record.size,
    )


def step_row(record: JourneyStepRecord) -> Row:
    return (record.ref, record.at, record.kind.value, fit(record.recipient, 320), fit(record.detail, 1000))


def queued_rows(new: NewQueued, content: NewContent, content_id: ContentId, now: datetime) -> Iterable[Row]:
    """One row for each recipient of the envelope."""
    envelope = new.envelope
    same = (
        content.ref,
        content_id,
        new.user,
        fit(str(envelope.reverse_path or ""), 320),
        envelope.dsn_return.value if envelope.dsn_return else "",
        fit(envelope.envelope_id, 100),
        envelope.smtputf8,
        envelope.eight_bit,
        content.size,
        now,
        fit(new.login, 320),
        fit(new.client, 64),
        fit(content.fields.get("subject", ""), 400),
        new.priority,
        new.urgent,
        (QueuedRecipient.Status.HELD if new.hold else QueuedRecipient.Status.WAITING).value,
        now + timedelta(seconds=new.hold_seconds) if new.hold_seconds else None,
        now + timedelta(seconds=new.delete_after_seconds) if new.delete_after_seconds else None,
        *_lan_columns(new.lan),
    )
    for recipient in envelope.recipients:
        yield (
            fit(str(recipient.address), 320),
            fit(recipient.address.domain, 255),
            _format_notify(recipient),
            fit(recipient.original_recipient, 600),
            *same,
        )


def _lan_columns(lan: LanTarget | None) -> Row:
    if lan is None:
        return (QueuedRecipient.Route.SENDERS.value, "", "", None)
    return (QueuedRecipient.Route.LAN.value, fit(lan.server, 300), fit(lan.login, 320), lan.secret)


def _format_notify(recipient: Recipient) -> str:
    return " ".join(sorted(notify.value for notify in recipient.notify))


def work_row(new: NewWork, now: datetime) -> WorkItem:
    return WorkItem(kind=new.kind, payload=dict(new.payload), created=now, not_before=new.not_before or now)
