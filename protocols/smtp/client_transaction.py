# SPDX-License-Identifier: MIT
"""One transaction as a client sees it: what is to be sent, and what the server said so far, recipient by recipient.

RFC 5321 §4.2.1 (the first digit decides), §3.8 (421), RFC 2920 §3.1. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailserver.values import Address
from protocols.smtp.client_grammar import OutgoingRecipient, Reply


class Outcome(enum.Enum):
    """What became of one recipient."""

    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one recipient. `text` is the server's reply word for word, or our own sentence, code in front."""

    outcome: Outcome
    text: str
    enhanced: str = ""
    remote: bool = True
    """The text is the server's."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """On all recipients, in their order.

    `stale`: the session ended before the server took so much as the sender's address. `broken`: the connection was
    lost before any of the text was sent. In both cases the whole message may be tried at once elsewhere. `dsn`: the
    server took over reporting as RFC 3461 asks.
    """

    verdicts: tuple[Verdict, ...]
    stale: bool = False
    broken: bool = False
    dsn: bool = False


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One transaction. `chunks` gives the bytes again each time it is called; they are `size` bytes."""

    reverse_path: Address | None
    recipients: tuple[OutgoingRecipient, ...]
    size: int
    chunks: Callable[[], Iterator[bytes]]
    header: bytes = b""
    eight_bit: bool = False
    smtputf8: bool = False
    dsn_return: str = ""
    envelope_id: str = ""


class Transaction:
    """What the server said so far, recipient by recipient."""

    def __init__(self, message: OutgoingMessage, pipelining: bool) -> None:
        self.message = message
        self.pipelining = pipelining
        self.data_begun = False
        self._mail: Reply | None = None
        self._recipients: list[Reply] = []
        self._final: Reply | None = None
        self._lost: Verdict | None = None

    @property
    def unheard(self) -> bool:
        """The server did not take so much as the sender's address."""
        return self._mail is None or self._mail.code == 421

    @property
    def broken(self) -> bool:
        """The connection was lost, and none of the text had been sent."""
        return self._lost is not None and not self.data_begun

    @property
    def mail_refused(self) -> bool:
        return self._mail is not None and not self._mail.positive

    @property
    def wanted(self) -> bool:
        """Somebody is to get it."""
        return not self.mail_refused and any(reply.positive for reply in self._recipients)

    @property
    def accepted(self) -> bool:
        return self._final is not None and self._final.positive and self.wanted

    def take_mail(self, reply: Reply) -> None:
        self._mail = reply

    def take_recipient(self, reply: Reply) -> None:
        self._recipients.append(reply)

    def finish(self, reply: Reply) -> None:
        self._final = reply

    def lose(self, problem: str, closing: Reply | None) -> None:
        """Nothing more will come. What was heard before that counts."""
        doubt = " It may have taken the message all the same." if self.data_begun else ""
        text = closing.text if closing is not None else f"{problem}{doubt}"
        remote = closing is not None
        self._lost = Verdict(Outcome.DEFERRED, text if remote else f"451 4.4.2 {text}", "4.4.2", remote)

    def outcome(self) -> tuple[Verdict, ...]:
        return tuple(self._verdict(number) for number in range(len(self.message.recipients)))

    def _verdict(self, number: int) -> Verdict:
        if self._mail is not None and not self._mail.positive:
            return _judge(self._mail)
        reply = self._recipients[number] if number < len(self._recipients) else None
        if reply is not None and not reply.positive:
            return _judge(reply)
        if self._final is not None:
            return _judge(self._final)
        return self._lost or Verdict(Outcome.DEFERRED, "451 4.4.2 The server did not answer.", "4.4.2", False)


def _judge(reply: Reply) -> Verdict:
    """RFC 5321 §4.2.1: the first digit decides."""
    if reply.positive and reply.code < 300:
        return Verdict(Outcome.SENT, reply.text, reply.enhanced or "2.0.0")
    if reply.permanent:
        return Verdict(Outcome.REFUSED, reply.text, reply.enhanced or "5.0.0")
    return Verdict(Outcome.DEFERRED, reply.text, reply.enhanced or "4.0.0")
