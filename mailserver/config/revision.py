# SPDX-License-Identifier: MIT
"""The number that says whether a snapshot is still true.

The lowest file of this area: every service that changes something the snapshot shows (settings, services, users,
domains) imports it, and it imports none of them.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from mailserver import notices
from mailserver.config.models import Revision


def touch_revision() -> None:
    """Make every process build a new snapshot once the present transaction is committed."""
    with transaction.atomic():
        if not Revision.objects.filter(id=1).update(number=F("number") + 1):
            Revision.objects.get_or_create(id=1, defaults={"number": 1})
            Revision.objects.filter(id=1).update(number=F("number") + 1)
        transaction.on_commit(_publish)


def current_revision() -> int:
    """The number now; 0 before the first start."""
    return Revision.objects.filter(id=1).values_list("number", flat=True).first() or 0


def _publish() -> None:
    notices.publish([notices.SETTINGS])
