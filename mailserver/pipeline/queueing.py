# SPDX-License-Identifier: MIT
"""How a message joins the outgoing queue: its priority, whether it is held, whether it asks for a connection.

Spec senders 8.1 (what users' settings say), 8.3 (what a script says, which counts last), 8.4 (urgent messages).
"""

from __future__ import annotations

from dataclasses import replace

from mailserver.addressing.resolve import Answer, Lan, Local
from mailserver.config.catalog import URGENT_CONNECT, URGENT_HEADERS
from mailserver.config.snapshot import Snapshot
from mailserver.hooks.events import QueueChange, Queued
from mailserver.hooks.interface import Hooks
from mailserver.lan.planning import plan_lan
from mailserver.outqueue.urgent import is_urgent
from mailserver.pipeline.message import IncomingMessage, Queueing

PRIORITIES = range(1, 101)
"""Spec senders 8.4."""
MAX_SECONDS = 10 * 366 * 86400
"""A script's typing mistake must not become a date that no calendar has."""


async def plan_queueing(message: IncomingMessage, snapshot: Snapshot, hooks: Hooks) -> IncomingMessage:
    """The message as it is to be queued; as it is where none of its recipients is elsewhere."""
    message = await plan_lan(message, snapshot, hooks)
    if all(isinstance(delivery.target, Local | Answer | Lan) for delivery in message.deliveries):
        return message
    origin = message.origin
    user = snapshot.directory.users.get(origin.user) if origin.user is not None else None
    urgent = is_urgent(message.header, snapshot.get(URGENT_HEADERS))
    planned = Queueing(
        priority=user.send_priority if user else Queueing().priority,
        urgent=urgent,
        connect=urgent and snapshot.get(URGENT_CONNECT),
        hold_seconds=user.hold_sent_seconds if user else 0,
    )
    change = await hooks.on_queued(
        Queued(
            login=origin.login,
            reverse_path=message.envelope.reverse_path,
            created=message.received,
            subject=message.summary.fields.get("subject", ""),
            client=origin.client.address,
            size=message.body.size,
            priority=planned.priority,
            header=message.header,
            hold_seconds=planned.hold_seconds,
            delete_after_seconds=planned.delete_after_seconds,
        )
    )
    return replace(message, queueing=heed(planned, change) if change is not None else planned)


def heed(planned: Queueing, change: QueueChange) -> Queueing:
    """What a script says counts, within bounds; what it is silent about stays."""
    priority = planned.priority if change.priority is None else change.priority
    return replace(
        planned,
        priority=min(max(priority, PRIORITIES[0]), PRIORITIES[-1]),
        hold=planned.hold if change.hold is None else change.hold,
        hold_seconds=_bounded(change.hold_seconds, planned.hold_seconds),
        delete_after_seconds=_bounded(change.delete_after_seconds, planned.delete_after_seconds),
    )


def _bounded(wanted: int | None, planned: int) -> int:
    return planned if wanted is None else min(max(wanted, 0), MAX_SECONDS)
