# SPDX-License-Identifier: MIT
"""Which Senders there are, in the order in which they are asked whether they take a message.

The first that fits takes it, default Connections first (design section 3), then by the Connection's number.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailserver.connectors.models import Sender


@dataclass(frozen=True, slots=True)
class AskedSender:
    """An enabled Sender, and what it says of messages (spec senders 7.1)."""

    id: int
    connection: int
    name: str
    domain_filter: str
    default: bool
    send_immediately: bool


def senders_in_order() -> tuple[AskedSender, ...]:
    """The enabled ones; the others take nothing, and stand in nobody's way."""
    rows = Sender.objects.filter(enabled=True).order_by("-connection__is_default", "connection_id")
    columns = ("id", "connection_id", "connection__name", "domain_filter", "connection__is_default", "send_immediately")
    return tuple(AskedSender(*row) for row in rows.values_list(*columns))
