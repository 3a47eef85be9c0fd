# SPDX-License-Identifier: MIT
"""What becomes of a message that stays unfetched: the question whether it is wanted, the warning that it is gone.

Spec connectors 4.6 and 4.7. Each notice is one unit with what the collector remembers, so that nobody is asked twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.addressing.resolve import ANSWER_PREFIX, Answer, Lan, Local
from mailserver.addressing.syntax import format_mailbox
from mailserver.connectors.values import CollectorSettings
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
from mailserver.mime.headers import summarise
from mailserver.pipeline.filing import lan_target
from mailserver.pipeline.message import Delivery
from mailserver.pipeline.own_mail import OwnMessage, build_own_unit
from mailserver.store.interface import Collected, Unit

QUESTION_SUBJECT = "Shall this message be fetched? {subject} [{token}]"
QUESTION = """\
A message for you waits at your provider (collector "{collector}") and was not fetched:

  From:    {sender}
  Subject: {subject}
  Date:    {date}
  Size:    {size}

{reason}

To have it fetched, simply answer this message. It comes with the next collection, if you answer within 14 days.
If you do not want it, do nothing.
"""
WARNING_SUBJECT = "A message for you was deleted: {subject}"
WARNING = """\
A message for you was deleted at your provider (collector "{collector}") without being fetched:

  From:    {sender}
  Subject: {subject}
  Date:    {date}
  Size:    {size}

{reason}
"""


@dataclass(frozen=True, slots=True)
class Unfetched:
    """A message at the provider of which only the header is known."""

    key: str
    size: int
    header: bytes
    reason: str
    """One sentence: which limit or which rule."""


def build_question(
    message: Unfetched, collector: CollectorSettings, to: Iterable[Delivery], domain: str, token: str, now: datetime
) -> Unit:
    """The question to each of them, and that it was asked."""
    unit = _notices(message, collector, to, domain, now, (QUESTION_SUBJECT, QUESTION), token)
    return replace(unit, collected=(Collected(collector.id, message.key, size=message.size, query_token=token),))


def build_deletion(
    message: Unfetched, collector: CollectorSettings, warned: Sequence[Delivery], domain: str, now: datetime
) -> Unit:
    """The message is done with, unfetched; whoever is to be warned is. Its journey says why nobody has it."""
    ref = next_ref()
    fields = summarise(message.header).fields
    journey = JourneyRecord(
        ref,
        now,
        collector.method.value,
        client=collector.server.host[:64],
        header_from=fields.get("from", ""),
        subject=fields.get("subject", ""),
        message_id=fields.get("message-id", ""),
        size=message.size,
    )
    step = JourneyStepRecord(ref, now, JourneyStep.DELETED, "", f"At the provider, not fetched. {message.reason}")
    unit = _notices(message, collector, warned, domain, now, (WARNING_SUBJECT, WARNING), "")
    return replace(
        unit,
        journeys=(journey, *unit.journeys),
        steps=(step, *unit.steps),
        collected=(Collected(collector.id, message.key, ref, message.size, afterwards="delete"),),
    )


def _notices(
    message: Unfetched,
    collector: CollectorSettings,
    to: Iterable[Delivery],
    domain: str,
    now: datetime,
    form: tuple[str, str],
    token: str,
) -> Unit:
    fields = summarise(message.header).fields
    texts = {
        "collector": collector.name,
        "sender": fields.get("from", "unknown")[:200],
        "subject": fields.get("subject", "(none)")[:200],
        "date": fields.get("date", "unknown")[:100],
        "size": format_size(message.size),
        "reason": message.reason,
        "token": token,
    }
    whole = Unit()
    for delivery in to:
        target = delivery.target
        if isinstance(target, Answer):  # Nobody is there.
            continue
        address = target.address if isinstance(target, Lan) else delivery.recipient.address
        ref = next_ref()
        own = OwnMessage(
            ref=ref,
            source="question" if token else "notice",
            sender=f"postmaster@{domain}",
            sender_name="Mail server",
            recipient=format_mailbox(address),
            recipient_name="",
            subject=form[0].format(**texts),
            text=form[1].format(**texts),
            detail=f"About a message that was not fetched by the collector {collector.name}",
            reply_to=f"{ANSWER_PREFIX}{token}@{domain}" if token else "",
            message_id=f"{ref}.{token}" if token else "",
        )
        inbox = target.user.inbox if isinstance(target, Local) else None
        unit = build_own_unit(own, inbox, now, lan_target(target) if isinstance(target, Lan) else None)
        whole = replace(
            whole,
            filings=(*whole.filings, *unit.filings),
            journeys=(*whole.journeys, *unit.journeys),
            steps=(*whole.steps, *unit.steps),
        )
    return whole


def format_size(size_bytes: int) -> str:
    """The size for people."""
    if size_bytes < 1_000_000:
        return f"{max(1, round(size_bytes / 1000))} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"
