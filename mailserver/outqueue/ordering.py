# SPDX-License-Identifier: MIT
"""Which message goes first. Spec senders 7.2, 8.1 and 5.2. Pure.

There are two priorities, and they run opposite ways: that of the queue (*Pri*, the smaller number first), and that
which a script gives a message for one run (`CheckFile`, 100 first and 1 last). The script's wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailserver.outqueue.values import QueuedMessage

RUN_PRIORITY = 50
"""What a script has that says nothing."""


@dataclass(frozen=True, slots=True)
class SendingOrder:
    """The two switches of a Sender's Advanced tab."""

    smaller_first: bool = False
    reverse: bool = False


Candidate = tuple[QueuedMessage, int]
"""A message, and the priority that a script gave it for this run."""


def sort_messages(candidates: Iterable[Candidate], order: SendingOrder) -> list[QueuedMessage]:
    """The messages in the order in which they are to be sent."""
    sign = -1 if order.reverse else 1

    def key(candidate: Candidate) -> tuple[int, int, float, str]:
        message, run_priority = candidate
        measure = message.size if order.smaller_first else message.queued.timestamp()
        return (-run_priority, queue_priority(message), sign * measure, message.ref)

    return [message for message, _ in sorted(candidates, key=key)]


def queue_priority(message: QueuedMessage) -> int:
    """The best of its recipients': an administrator may have changed that of one."""
    return min((one.priority for one in message.recipients), default=RUN_PRIORITY)
