# SPDX-License-Identifier: MIT
"""What one session knows: who is there, and the message that is being given. aiosmtpd's session and envelope, typed.

RFC 5321 §3.3. Holds values only; the order of commands is `server.py`'s, their meaning `handler.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from aiosmtpd.smtp import Envelope as LibraryEnvelope
from aiosmtpd.smtp import Session as LibrarySession

from mailserver import clock
from mailserver.addressing.resolve import Deliverable
from mailserver.config.snapshot import User
from mailserver.journey.records import next_ref
from mailserver.mime.headers import HeaderSummary
from mailserver.pipeline.message import Delivery, Refusal
from mailserver.users.authentication import LoggedInUser
from mailserver.values import Address, Envelope, Recipient
from protocols.smtp.grammar import MailFrom

MAX_REFUSALS_RECORDED = 20
"""Refused recipients of one transaction that its journey names; a scanner tries thousands."""


class SmtpSession(LibrarySession):
    """Who is at the other end. `host_name` is what HELO said, `extended_smtp` whether it was EHLO."""

    user: LoggedInUser | None = None
    failed_logins = 0
    errors = 0
    refusals_recorded = 0

    @property
    def helo(self) -> str:
        return self.host_name or ""

    @property
    def login(self) -> str:
        return self.user.address if self.user is not None else ""


class Transaction(LibraryEnvelope):
    """One message, from MAIL FROM on. Before it, everything is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = False
        self.started: datetime = clock.now()
        self.mail = MailFrom(None)
        self.sending_user: User | None = None
        """Whose limits hold: who logged in, or whom the reverse path names where the client is trusted."""
        self.accepted: dict[Address, Delivery] = {}
        self.overshoot = 0
        self.size = 0
        self.summary = HeaderSummary({})
        self.refusals: list[Refusal] = []
        self._ref = ""

    @property
    def ref(self) -> str:
        """The journey's id, made when it is first needed."""
        if not self._ref:
            self._ref = next_ref()
        return self._ref

    def accept(self, recipient: Recipient, target: Deliverable) -> None:
        """Of an address given twice the first counts."""
        self.accepted.setdefault(recipient.address, Delivery(recipient, target))

    def refuse(self, recipient: str, detail: str) -> None:
        """Remember for the journey what was refused and in which words, within bounds."""
        if len(self.refusals) < MAX_REFUSALS_RECORDED:
            self.refusals.append(Refusal(recipient, detail, clock.now()))

    def envelope(self, *, eight_bit: bool) -> Envelope:
        """The envelope as the rest of the server speaks of it."""
        return Envelope(
            reverse_path=self.mail.reverse_path,
            recipients=tuple(delivery.recipient for delivery in self.accepted.values()),
            dsn_return=self.mail.dsn_return,
            envelope_id=self.mail.envelope_id,
            smtputf8=self.mail.smtputf8,
            eight_bit=eight_bit or self.mail.eight_bit,
        )
