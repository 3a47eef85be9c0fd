# SPDX-License-Identifier: MIT
"""What the machine tells its session. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from protocols.imap.append import Offer
from protocols.imap.commands import Command


class Signal(enum.Enum):
    """Nothing has happened: more bytes are needed, or an answer to what happened last."""

    NEED_DATA = enum.auto()
    PAUSED = enum.auto()
    CLOSED = enum.auto()
    """The conversation is over; whatever else comes is not looked at."""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """Answer with a Completion; IDLE and AUTHENTICATE may be answered with a Continuation first."""

    command: Command


@dataclass(frozen=True, slots=True)
class LiteralAnnounced:
    """The client waits before it sends an argument of a command; answer with `Proceed`."""


@dataclass(frozen=True, slots=True)
class MessageOffered:
    """A message of APPEND or REPLACE is about to come, or one part of it.

    Answer with `Proceed`, or with a Completion that refuses the command: then what the client sends of it is passed
    over. After all messages comes CommandReceived; if instead a ProtocolViolation is raised, the command is over and
    nothing of it counts.
    """

    offer: Offer
    synchronising: bool


@dataclass(frozen=True, slots=True)
class MessagePiece:
    """Some bytes of the message that was offered."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """All bytes that were offered have come."""


@dataclass(frozen=True, slots=True)
class SaslResponse:
    """The client's answer in an AUTHENTICATE exchange; None when it gave up with `*` (RFC 9051 §6.2.2)."""

    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdleEnded:
    """DONE (RFC 9051 §6.3.13); answer with the Completion of the IDLE.

    A line that is not DONE ends it as well, by a ProtocolViolation that carries the tagged BAD.
    """


Event = (
    Signal
    | CommandReceived
    | LiteralAnnounced
    | MessageOffered
    | MessagePiece
    | MessageEnded
    | SaslResponse
    | IdleEnded
)
