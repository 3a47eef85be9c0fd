# SPDX-License-Identifier: MIT
"""What leaves the queue by itself: messages past their time, and, days later, what is done with.

In small transactions, so it may run beside mail and be stopped anywhere.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from mailserver import notices
from mailserver.config.catalog import QUEUE_KEEP_DAYS
from mailserver.config.stored import get_setting
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.journey.services import record_steps
from mailserver.outqueue.models import IN_QUEUE, QueuedRecipient, SendAttempt
from mailserver.outqueue.recording import find_untold

BATCH = 500
"""Rows deleted in one transaction: mail that arrives meanwhile waits for no more than that."""


def delete_expired(now: datetime) -> int:
    """Take out what a script wanted gone by now; what is being sent at the moment has been in time.

    Silently: its journey says so, and the sender is not told (spec senders 8.3).
    """
    late = QueuedRecipient.objects.filter(delete_after__lte=now, status__in=IN_QUEUE, claim="")
    deleted = 0
    while ids := list(late.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            rows = list(
                late.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk", "ref", "recipient")
            )
            detail = "It was not to be sent any more after this time"
            record_steps(JourneyStepRecord(ref, now, JourneyStep.DELETED, name, detail) for _, ref, name in rows)
            _delete([id_ for id_, _, _ in rows])
            transaction.on_commit(lambda: notices.publish([notices.QUEUE]))
        deleted += len(rows)
    return deleted


def forget_finished(now: datetime) -> int:
    """Remove what was sent or failed more than QUEUE_KEEP_DAYS ago, unless its sender is still to be told.

    Contents that nobody has any more are then collected by the store.
    """
    before = now - timedelta(days=get_setting(QUEUE_KEEP_DAYS))
    untold = find_untold()
    old = QueuedRecipient.objects.filter(finished__lt=before).order_by("pk")
    forgotten = last = 0
    while rows := list(old.filter(pk__gt=last).values_list("pk", "ref")[:BATCH]):
        last = rows[-1][0]
        ids = [id_ for id_, ref in rows if ref not in untold]
        with transaction.atomic():
            _delete(ids)
        forgotten += len(ids)
    return forgotten


def _delete(ids: list[int]) -> None:
    """Attempts go first, in one statement: Django would read them all to delete them with their rows."""
    SendAttempt.objects.filter(queued__in=ids).delete()
    QueuedRecipient.objects.filter(pk__in=ids).delete()
