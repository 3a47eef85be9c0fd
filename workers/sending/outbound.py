# SPDX-License-Identifier: MIT
"""A message on its way out: what was taken from the queue, with its bytes, and what it looks like on the wire.

The return path is computed in the order of spec senders 11.3: as it is stored, the Sender's setting (3.1), then the
scripts. The null path is nobody's to change (RFC 5321 §4.5.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.values import SenderSettings
from mailserver.hooks.events import ReturnPathComputed, SendCandidate, SendStarted
from mailserver.hooks.interface import Hooks
from mailserver.outqueue.values import Attempt, AttemptResult, QueuedMessage, QueuedOne
from mailserver.store.interface import StoredContent
from mailserver.values import Address
from protocols.smtp.client import SmtpClient
from protocols.smtp.client_grammar import OutgoingRecipient
from protocols.smtp.client_transaction import Delivery, Outcome, OutgoingMessage

MAX_HEADER_BYTES = 256 * 1024

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


def configured_path(queued: QueuedMessage, sender: SenderSettings, snapshot: Snapshot) -> Address | None:
    """Spec senders 3.1. A setting that cannot be carried out leaves the path as it is."""
    path = queued.reverse_path
    if path is None:
        return None
    match sender.return_path_mode:
        case "fixed":
            return read_address(sender.return_path) or path
        case "login":
            user = snapshot.directory.find_login(queued.login) if queued.login else None
            return user.address if user is not None else path
        case "domain":
            domain = read_domain(sender.return_path)
            return Address(path.local, domain) if domain else path
    return path


async def ask_return_path(
    hooks: Hooks, started: SendStarted, outbound: Outbound, computed: Address | None, recipients: Sequence[QueuedOne]
) -> Address | None:
    """What scripts make of the path; what is no address is not used."""
    queued = outbound.queued
    event = ReturnPathComputed(
        started,
        computed,
        queued.reverse_path,
        queued.login,
        tuple(one.address for one in recipients),
        queued.queued,
        outbound.header,
        outbound.size,
        queued.client,
        queued.subject,
    )
    answer = await hooks.on_return_path(event)
    if answer is None:
        return computed
    return None if answer.strip() in ("", "<>") else read_address(answer) or computed


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
    """What the queue records of a transaction."""
    return [
        Attempt(
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


def read_address(text: str) -> Address | None:
    """An address that a person or a script wrote, with or without angle brackets."""
    local, at, domain = text.strip().removeprefix("<").removesuffix(">").rpartition("@")
    found = read_domain(domain)
    if not at or not local or not found or any(ord(letter) < 33 or letter in "<>" for letter in local):
        return None
    return Address(local, found)


def read_domain(text: str) -> str:
    """The domain's usual form, empty for what is none."""
    try:
        return parse_domain(text.strip().lstrip("@*"))
    except BadDomain:
        return ""
