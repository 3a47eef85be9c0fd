# SPDX-License-Identifier: MIT
"""What is recorded of a message's journey, as plain values; and the ids that tie it together."""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass
from datetime import datetime

from mailserver import clock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def next_ref() -> str:
    """A new id: 26 characters that sort by time (48 bits of milliseconds, 80 of chance), Crockford's base 32."""
    number = (int(clock.now().timestamp() * 1000) << 80) | secrets.randbits(80)
    characters = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))


class JourneyStep(enum.StrEnum):
    """What can happen to a message. Later issues add theirs."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    QUEUED = "queued"
    SENT = "sent"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    HELD = "held"
    RELEASED = "released"
    REPORTED = "reported"
    FILED = "filed"
    FETCHED = "fetched"
    DELETED = "deleted"
    ANSWERED = "answered"
    """It answers a question of this server's, which acts on it."""
    RULE = "rule"
    """A download rule decided about a collected message."""
    UNROUTED = "unrouted"
    """A collected message was for nobody here: the collector's routing errors say what happens."""
    DROPPED = "dropped"
    """Not filed for this recipient, or for anybody, and why."""


@dataclass(frozen=True, slots=True)
class JourneyRecord:
    """The message itself; texts longer than their column are cut by the store."""

    ref: str
    started: datetime
    source: str
    client: str = ""
    helo: str = ""
    login: str = ""
    sender: str = ""
    header_from: str = ""
    subject: str = ""
    message_id: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class JourneyStepRecord:
    """One step of the journey `ref`. It may come after its journey was cleaned away."""

    ref: str
    at: datetime
    kind: JourneyStep
    recipient: str = ""
    detail: str = ""
