# SPDX-License-Identifier: MIT
"""Every failure that the domain can report. Wire forms stand in each protocol's `replies.py`."""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """The closed list of failures (house style section 7)."""

    NOT_FOUND = "not_found"
    EXISTS = "exists"
    FORBIDDEN = "forbidden"
    BAD_CREDENTIALS = "bad_credentials"
    OVER_QUOTA = "over_quota"
    TOO_BIG = "too_big"
    LIMIT_REACHED = "limit_reached"
    IN_USE = "in_use"
    UNAVAILABLE = "unavailable"
    STORAGE_FULL = "storage_full"
    INTERNAL = "internal"


class MailError(Exception):
    """What the domain cannot do. `note` is for the log and for administrators, never for the wire."""

    def __init__(self, kind: Kind, note: str = "") -> None:
        super().__init__(kind, note)
        self.kind = kind
        self.note = note

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.note}" if self.note else self.kind.value


class InvalidInput(Exception):
    """What a person typed or a file says is wrong; `messages` maps a field (or a place in a file) to plain words."""

    def __init__(self, messages: dict[str, list[str]]) -> None:
        super().__init__(messages)
        self.messages = messages

    def __str__(self) -> str:
        return "; ".join(
            f"{place}: {text}" if place else text for place, texts in self.messages.items() for text in texts
        )


class ProtocolViolation(Exception):
    """A peer broke its protocol: the reply to send, and whether the connection may go on."""

    def __init__(self, reply: bytes, *, may_continue: bool, note: str = "") -> None:
        super().__init__(note or reply)
        self.reply = reply
        self.may_continue = may_continue
        self.note = note
