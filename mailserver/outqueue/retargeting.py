# SPDX-License-Identifier: MIT
"""Another server for messages that wait in the LAN forwarding queue. Spec senders 10.3."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from mailserver import notices
from mailserver.outqueue.models import IN_QUEUE, QueuedRecipient
from mailserver.store.interface import LanTarget


def change_target(rows: Collection[int], target: LanTarget) -> int:
    """They go there instead, at once; says how many that are. What is being sent at the moment is left alone."""
    waiting = QueuedRecipient.objects.filter(pk__in=list(rows), route=QueuedRecipient.Route.LAN, claim="")
    with transaction.atomic():
        changed = waiting.filter(status__in=IN_QUEUE).update(
            lan_server=target.server, lan_login=target.login, lan_secret=target.secret, next_attempt=None
        )
        transaction.on_commit(lambda: notices.publish([notices.QUEUE]))
    return changed
