# SPDX-License-Identifier: MIT
"""What a Sender has sent within some minutes: what its limit of recipients in a time is counted from (spec senders 3).

Counted from the record of attempts, so that a restart does not begin the window anew.
"""

from __future__ import annotations

from datetime import datetime

from mailserver.outqueue.models import SendAttempt


def count_sent_since(sender: int, since: datetime) -> int:
    """Recipients of messages that a server took from this Sender after that moment."""
    return SendAttempt.objects.filter(sender_id=sender, started__gt=since, result__startswith="2").count()
