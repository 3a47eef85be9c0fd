# SPDX-License-Identifier: MIT
"""Rows of other areas that the group commit writes with the mail they belong to: journeys, the queue, work.

They are written in bulk and in the unit's transaction (design section 4), which is why it happens here. Everything
else about these rows is their areas' business. What a peer has said is cut to the width of its column and cleaned
of what a database cannot hold, so that no message is refused for the length of its subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

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


def queued_rows(new: NewQueued, content: NewContent, content_id: ContentId, now: datetime) -> Iterable[QueuedRecipient]:
    """One row for each recipient of the envelope."""
    envelope = new.envelope
    for recipient in envelope.recipients:
        yield QueuedRecipient(
            ref=content.ref,
            content_id=content_id,
            user_id=new.user,
            reverse_path=fit(str(envelope.reverse_path or ""), 320),
            recipient=fit(str(recipient.address), 320),
            domain=fit(recipient.address.domain, 255),
            notify=_format_notify(recipient),
            original_recipient=fit(recipient.original_recipient, 600),
            dsn_return=envelope.dsn_return.value if envelope.dsn_return else "",
            envelope_id=fit(envelope.envelope_id, 100),
            smtputf8=envelope.smtputf8,
            eight_bit=envelope.eight_bit,
            size=content.size,
            queued=now,
            login=fit(new.login, 320),
            client=fit(new.client, 64),
            subject=fit(content.fields.get("subject", ""), 400),
            priority=new.priority,
            urgent=new.urgent,
            status=QueuedRecipient.Status.HELD if new.hold else QueuedRecipient.Status.WAITING,
            hold_until=now + timedelta(seconds=new.hold_seconds) if new.hold_seconds else None,
            delete_after=now + timedelta(seconds=new.delete_after_seconds) if new.delete_after_seconds else None,
            **(_lan_columns(new.lan) if new.lan is not None else {}),
        )


def _lan_columns(lan: LanTarget) -> dict[str, Any]:
    return {
        "route": QueuedRecipient.Route.LAN,
        "lan_server": fit(lan.server, 300),
        "lan_login": fit(lan.login, 320),
        "lan_secret": lan.secret,
    }


def _format_notify(recipient: Recipient) -> str:
    return " ".join(sorted(notify.value for notify in recipient.notify))


def work_row(new: NewWork, now: datetime) -> WorkItem:
    return WorkItem(kind=new.kind, payload=dict(new.payload), created=now, not_before=new.not_before or now)
