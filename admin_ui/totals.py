# SPDX-License-Identifier: MIT
"""How much mail each user has, as columns of the list that can be sorted by."""

from __future__ import annotations

from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from mailserver.users.models import User
from mailserver.values import SpecialUse


def with_mail_totals(users: QuerySet[User]) -> QuerySet[User]:
    """Adds `inbox_messages`, `stored_messages` and `stored_size`.

    Spec users 1.1: the count in the list is the Inbox's, the size that of all folders. Read from the mailboxes'
    counters, never from their messages.
    """
    inbox = Q(mailboxes__special_use=SpecialUse.INBOX.value)
    return users.annotate(
        inbox_messages=Coalesce(Sum("mailboxes__messages", filter=inbox), Value(0)),
        stored_messages=Coalesce(Sum("mailboxes__messages"), Value(0)),
        stored_size=Coalesce(Sum("mailboxes__size"), Value(0)),
    )
