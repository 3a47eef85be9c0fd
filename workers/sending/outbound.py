# SPDX-License-Identifier: MIT
"""A message on its way out: what was taken from the queue, with its bytes, and what it looks like on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.hooks.events import SendCandidate, SendStarted
from mailserver.outqueue.values import Attempt, AttemptResult, QueuedMessage, QueuedOne
from mailserver.store.interface import StoredContent
from mailserver.values import Address
from protocols.smtp.client import SmtpClient
from protocols.smtp.client_grammar import OutgoingRecipient
from protocols.smtp.client_transaction import Delivery, Outcome, OutgoingMessage

OUR_BUG = "451 4.3.0 An error of this server's own; the details are in errors.log"
"""Said of the one message that met it, so that those behind it go out."""
MAX_HEADER_BYTES = 256 * 1024

# RFC 5321 §4.5.3.1.10: 452, and 552 means the same; servers that know RFC 3463 say X.5.3.
_TOO_MANY = re.compile(r"[45]52[ -](?:[45]\.5\.3(?!\d)|.*\btoo many (?:recipients|rcpts?)\b)", re.IGNORECASE)

RESULTS = {
    Outcome.SENT: AttemptResult.SENT,
    Outcome.DEFERRED: AttemptResult.DEFERRED,
    Outcome.REFUSED: AttemptResult.FAILED,
}


@dataclass(frozen=True, slots=True)
class Outbound:
    """A message that was taken, and its bytes. `last_try` and `priority` are a script's (spec senders 5.2)."""

    queued: QueuedMessage
    content: StoredContent
    header: bytes
    last_try: bool = False
    priority: int = 50

    @property
    def size(self) -> int:
        """Of what is sent: the Return-Path line stays here (RFC 5321 §4.4)."""
        return self.content.size - self.content.return_path_size

    def chunks(self) -> Iterator[bytes]:
        return self.content.chunks(relay=True)

    def candidate(self, started: SendStarted) -> SendCandidate:
        queued = self.queued
        return SendCandidate(
            started,
            queued.ref,
            self.size,
            queued.queued,
            tries=max(one.tries for one in queued.recipients),
            last_try=max((one.last_attempt for one in queued.recipients if one.last_attempt), default=None),
            reverse_path=queued.reverse_path,
            recipients=tuple(one.address for one in queued.recipients),
            header=self.header,
        )


def make_outbound(queued: QueuedMessage, content: StoredContent) -> Outbound:
    """With its header section, for scripts and for what the next server must understand."""
    beginning = b""
    for piece in content.chunks(relay=True):
        beginning += piece
        end = beginning.find(b"\r\n\r\n")
        if end >= 0:
            return Outbound(queued, content, beginning[: end + 2])
        if len(beginning) >= MAX_HEADER_BYTES:
            break
    return Outbound(queued, content, beginning[:MAX_HEADER_BYTES])


def make_transaction(
    outbound: Outbound, reverse_path: Address | None, recipients: Sequence[QueuedOne]
) -> OutgoingMessage:
    """What the client sends."""
    queued = outbound.queued
    return OutgoingMessage(
        reverse_path,
        tuple(
            OutgoingRecipient(
                one.address, ",".join(sorted(notify.value for notify in one.notify)), one.original_recipient
            )
            for one in recipients
        ),
        outbound.size,
        outbound.chunks,
        outbound.header,
        queued.eight_bit,
        queued.smtputf8,
        queued.dsn_return.value if queued.dsn_return else "",
        queued.envelope_id,
    )


def attempts_of(
    delivery: Delivery,
    recipients: Sequence[QueuedOne],
    server: str,
    client: SmtpClient,
    started: datetime,
    *,
    last_try: bool = False,
) -> list[Attempt]:
    """What the queue records of a transaction. Recipients that were too many for it are next in this very run."""
    progress = any(verdict.outcome is Outcome.SENT for verdict in delivery.verdicts)
    return [
        Attempt(one.id, AttemptResult.UNTRIED)
        if progress and _TOO_MANY.match(verdict.text)
        else Attempt(
            one.id,
            RESULTS[verdict.outcome],
            verdict.text,
            verdict.enhanced,
            server,
            client.tls,
            started,
            remote=verdict.remote,
            dsn_passed_on=delivery.dsn and verdict.outcome is Outcome.SENT,
            last_try=last_try,
        )
        for one, verdict in zip(recipients, delivery.verdicts, strict=True)
    ]


def unreached(
    recipients: Sequence[QueuedOne],
    reply: str,
    started: datetime,
    *,
    server: str = "",
    reached: bool = False,
    last_try: bool = False,
) -> list[Attempt]:
    """No server took part: `reply` is ours, `4` or `5` in front."""
    result = AttemptResult.FAILED if reply.startswith("5") else AttemptResult.DEFERRED
    return [
        Attempt(
            one.id,
            result,
            reply,
            server=server,
            started=started,
            remote=False,
            reached=reached or result is AttemptResult.FAILED,
            last_try=last_try,
        )
        for one in recipients
    ]


def untried(recipients: Sequence[QueuedOne], hold_minutes: int | None = None) -> list[Attempt]:
    """Nothing was said of these."""
    return [Attempt(one.id, AttemptResult.UNTRIED, hold_minutes=hold_minutes) for one in recipients]


def split(recipients: Sequence[QueuedOne], most: int) -> list[Sequence[QueuedOne]]:
    """As many transactions as a limit on recipients asks for; 0: one."""
    if not most:
        return [recipients]
    return [recipients[start : start + most] for start in range(0, len(recipients), most)]
