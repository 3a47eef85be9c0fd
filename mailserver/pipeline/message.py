# SPDX-License-Identifier: MIT
"""A message on its way in, as the stages see it and as it is filed. Collectors and lists make the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailserver.addressing.resolve import Deliverable
from mailserver.mime.headers import HeaderSummary
from mailserver.values import Address, Body, Client, Envelope, Recipient, UserId


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message comes from: what trace lines, journeys and scripts say of it."""

    source: str
    client: Client
    helo: str = ""
    login: str = ""
    user: UserId | None = None
    """Who sent it, where known: logged in, or found by the reverse path of a trusted client."""
    extended: bool = True
    """The client said EHLO."""
    keyword: str = ""
    """What the Received line says behind `with`, where it was not SMTP: POP3, IMAP."""
    collector: str = ""
    """The name of the Collector that fetched it."""
    collector_id: int | None = None
    """Its number, which scripts are told."""
    return_path_known: bool = True
    """False for a collected message without a Return-Path line: then this server writes none either."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One accepted recipient and where its copy goes."""

    recipient: Recipient
    target: Deliverable


@dataclass(frozen=True, slots=True)
class Queueing:
    """How a message joins the outgoing queue. The smaller priority goes first; `connect` asks for a connection at once.

    `hold` is until somebody releases it; seconds of 0 mean not at all.
    """

    priority: int = 50
    urgent: bool = False
    connect: bool = False
    hold: bool = False
    hold_seconds: int = 0
    delete_after_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient, or the whole message (`recipient` empty), that was refused, and the words that were said."""

    recipient: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """Everything there is. `ref` is the journey's id; `header` the header section, as far as it was read."""

    ref: str
    received: datetime
    origin: Origin
    envelope: Envelope
    deliveries: tuple[Delivery, ...]
    body: Body
    header: bytes
    summary: HeaderSummary
    refusals: tuple[Refusal, ...] = ()
    """Recipients of the same transaction that were refused: they belong to the same journey."""
    queueing: Queueing = Queueing()
    """For the recipients that are elsewhere."""


def sender_text(reverse_path: Address | None) -> str:
    """The reverse path for people: `<>` for the null path."""
    return "<>" if reverse_path is None else str(reverse_path)
