# SPDX-License-Identifier: MIT
"""The order that SORT asks for.

RFC 5256 §2.2 and §3 (SORT), RFC 5957 (DISPLAYFROM, DISPLAYTO). Pure: works on what is stored of each message.
Strings compare by i;unicode-casemap (RFC 5051), as RFC 5256 §2.2 asks.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailserver.mime.casemap import casemap as casemap
from mailserver.mime.threads import base_subject


class SortKey(enum.Enum):
    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"


@dataclass(frozen=True, slots=True)
class SortCriterion:
    key: SortKey
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class SortMessage:
    """What sorting needs of a message; text is decoded, the mailbox names are those of the first address.

    `sent` is the date of RFC 5256 §2.2 (Date field in UTC, else the internal date).
    """

    number: int
    arrived: datetime
    sent: datetime
    size: int
    subject: str = ""
    from_mailbox: str = ""
    to_mailbox: str = ""
    cc_mailbox: str = ""
    from_display: str = ""
    to_display: str = ""


def sort_messages(messages: Iterable[SortMessage], criteria: Sequence[SortCriterion]) -> list[int]:
    """The messages' numbers; equal ones in the order of their numbers (RFC 5256 §3)."""
    ordered = sorted(messages, key=lambda message: message.number)
    for criterion in reversed(criteria):
        ordered.sort(key=_KEYS[criterion.key], reverse=criterion.reverse)
        # A reversed sort in Python keeps equal elements in their order, as the RFC wants it.
    return [message.number for message in ordered]


_KEYS: dict[SortKey, Callable[[SortMessage], Any]] = {
    SortKey.ARRIVAL: lambda message: message.arrived,
    SortKey.CC: lambda message: casemap(message.cc_mailbox),
    SortKey.DATE: lambda message: message.sent,
    SortKey.FROM: lambda message: casemap(message.from_mailbox),
    SortKey.SIZE: lambda message: message.size,
    SortKey.SUBJECT: lambda message: casemap(base_subject(message.subject).text),
    SortKey.TO: lambda message: casemap(message.to_mailbox),
    SortKey.DISPLAYFROM: lambda message: casemap(message.from_display or message.from_mailbox),
    SortKey.DISPLAYTO: lambda message: casemap(message.to_display or message.to_mailbox),
}
