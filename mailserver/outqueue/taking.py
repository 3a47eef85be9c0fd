# SPDX-License-Identifier: MIT
"""Taking messages from the queue to send them: who may have what, and claims on it.

Whoever sends for a Sender holds its lease (`sender_lease`), for LAN forwarding `LAN_LEASE`; he takes a few messages,
which are his until he has recorded an attempt for each of their recipients (`recording.record`) or given them back. A
claim of somebody who has lost the lease is void: his successor takes the message again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from mailserver import clock
from mailserver.connectors.values import SenderSettings
from mailserver.errors import Kind, MailError
from mailserver.leases import services as leases
from mailserver.outqueue.choosing import Choice, choose, due
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.ordering import SendingOrder
from mailserver.outqueue.values import QueuedMessage, QueuedOne, Route
from mailserver.store.chunks import in_chunks
from mailserver.store.interface import LanTarget
from mailserver.values import Address, ContentId, DsnNotify, DsnReturn

LAN_LEASE = "lan-forwarding"


def sender_lease(sender: int) -> str:
    """The lease without which nobody takes messages for this Sender."""
    return f"sender:{sender}"


# ---------------------------------------------------------------- taking


def take(
    sender: SenderSettings,
    owner: str,
    limit: int,
    *,
    queued_before: datetime | None = None,
    leave_out: Collection[int] = (),
) -> list[QueuedMessage]:
    """At most `limit` messages that this Sender is to try now, in sending order, claimed for `owner`.

    None when nothing is left. `leave_out` has recipients (their numbers) that were UNTRIED in this run;
    `queued_before` is there for Senders that only send what waited at the start. Raises IN_USE when the lease is
    somebody else's.
    """
    chosen = Choice(Route.SENDERS, sender.id, SendingOrder(sender.smaller_first, sender.reverse_order))
    return _take(chosen, sender_lease(sender.id), owner, limit, queued_before, leave_out)


def take_lan(owner: str, limit: int, *, leave_out: Collection[int] = ()) -> list[QueuedMessage]:
    """The same for LAN forwarding: recipients of one message for different servers come as several messages."""
    return _take(Choice(Route.LAN, None, SendingOrder()), LAN_LEASE, owner, limit, None, leave_out)


def give_back(owner: str, ids: Collection[int] | None = None) -> int:
    """Void this holder's claims, on these recipients or on all; says how many there were."""
    claimed = QueuedRecipient.objects.filter(claim=owner)
    if ids is None:
        return claimed.update(claim="")
    return sum(claimed.filter(pk__in=chunk).update(claim="") for chunk in in_chunks(list(ids)))


def find_claimed(owner: str) -> dict[int, bool]:
    """What is this holder's by now, and whether it may still be sent: nobody has held it since it was taken."""
    claimed = QueuedRecipient.objects.filter(claim=owner).order_by().values_list("pk", "status")
    return {id_: status == QueuedRecipient.Status.WAITING for id_, status in claimed}


def give_back_for_the_gone() -> int:
    """Void the claims of those who will not come back: where no Sender is left, nobody else would."""
    claimed = QueuedRecipient.objects.filter(claim__gt="", route=QueuedRecipient.Route.SENDERS).order_by()
    return sum(
        give_back(claim) for claim in claimed.values_list("claim", flat=True).distinct() if leases.is_gone(claim)
    )


def has_due(sender: SenderSettings) -> bool:
    """Whether `take` would find something now, or something that a dead worker left claimed; changes nothing."""
    return bool(choose(Choice(Route.SENDERS, sender.id, SendingOrder()), 1, None, ())) or _is_abandoned(Route.SENDERS)


def has_due_lan() -> bool:
    """Whether `take_lan` would find something now, or something that a dead worker left claimed."""
    return due(Route.LAN, clock.now()).exists() or _is_abandoned(Route.LAN)


def count_due(sender: int | None = None) -> int:
    """Messages that could be sent now, by this Sender or by any: what a schedule item's minimum is compared with."""
    if sender is not None:
        chosen = choose(Choice(Route.SENDERS, sender, SendingOrder()), None, None, ())
        return len({ref for _, ref in chosen})
    return due(Route.SENDERS, clock.now()).order_by().values("ref").distinct().count()


def _take(
    choice: Choice,
    lease: str,
    owner: str,
    limit: int,
    queued_before: datetime | None,
    leave_out: Collection[int],
) -> list[QueuedMessage]:
    chosen = choose(choice, limit, queued_before, leave_out)
    if not _fills(chosen, limit) and _void_stale_claims(choice, lease, owner):
        chosen = choose(choice, limit, queued_before, leave_out)
    if not chosen:
        return []
    ids = [id_ for id_, _ in chosen]
    with transaction.atomic():
        if not leases.confirm(lease, owner):
            raise MailError(Kind.IN_USE, f"the lease {lease} is not ours any more")
        _claim(choice, owner, ids)
    return _read_messages(owner, ids)


def _fills(chosen: Sequence[tuple[int, str]], limit: int) -> bool:
    return len({ref for _, ref in chosen}) >= limit


def _claim(choice: Choice, owner: str, ids: Sequence[int]) -> None:
    """What was held, deleted or claimed since it was chosen is passed over."""
    for chunk in in_chunks(ids):
        free = QueuedRecipient.objects.filter(pk__in=chunk, status=QueuedRecipient.Status.WAITING, claim="")
        free.update(claim=owner, sender_id=choice.sender)


def _void_stale_claims(choice: Choice, lease: str, owner: str) -> int:
    """Claims of whoever had the lease before: he is gone, or has lost it. And those of the dead for Senders that are
    not asked any more: nobody else would ever look at them."""
    claimed = QueuedRecipient.objects.filter(claim__gt="", route=choice.route).exclude(claim=owner).order_by()
    rows = list(claimed.values_list("pk", "sender_id", "claim"))
    dead = {claim for claim in {claim for _, _, claim in rows} if leases.is_gone(claim)}
    stale = [id_ for id_, sender, claim in rows if sender == choice.sender or claim in dead]
    if not stale:
        return 0
    with transaction.atomic():
        if not leases.confirm(lease, owner):
            raise MailError(Kind.IN_USE, f"the lease {lease} is not ours any more")
        free = QueuedRecipient.objects.exclude(claim=owner)
        return sum(free.filter(pk__in=chunk).update(claim="") for chunk in in_chunks(stale))


def _is_abandoned(route: Route) -> bool:
    """Whether something is claimed by somebody who is gone: who sends next makes it free again."""
    claimed = QueuedRecipient.objects.filter(claim__gt="", route=route, status=QueuedRecipient.Status.WAITING)
    return not all(map(leases.holds_any, claimed.order_by().values_list("claim", flat=True).distinct()))


# ---------------------------------------------------------------- rows as values


class _Taken(NamedTuple):
    """A claimed row. A plain tuple: the model's instances cost as much as all the rest of taking (measured)."""

    id: int
    ref: str
    content_id: int
    size: int
    reverse_path: str
    recipient: str
    notify: str
    original_recipient: str
    dsn_return: str
    envelope_id: str
    smtputf8: bool
    eight_bit: bool
    login: str
    client: str
    subject: str
    queued: datetime
    tries: int
    priority: int
    last_attempt: datetime | None
    route: str
    lan_server: str
    lan_login: str
    lan_secret: bytes | None

    @property
    def envelope(self) -> tuple[object, ...]:
        """What recipients of one message have in common."""
        return (
            self.ref,
            self.content_id,
            self.reverse_path,
            self.dsn_return,
            self.envelope_id,
            self.lan_server,
            self.lan_login,
        )


def _read_messages(owner: str, ids: Sequence[int]) -> list[QueuedMessage]:
    """In the order of `ids`, as far as they are this owner's."""
    rows: dict[int, _Taken] = {}
    for chunk in in_chunks(ids):
        claimed = QueuedRecipient.objects.filter(pk__in=chunk, claim=owner).order_by()
        rows.update((row[0], _Taken(*row)) for row in claimed.values_list(*_Taken._fields))
    groups: dict[tuple[object, ...], list[_Taken]] = {}
    for id_ in ids:
        if id_ in rows:
            groups.setdefault(rows[id_].envelope, []).append(rows[id_])
    everybody = _read_recipients({(row.route, row.ref) for row in rows.values()})
    return [_message(group, everybody) for group in groups.values()]


def _read_recipients(messages: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Address]]:
    """Everybody whom each message, known by its route and ref, is or was for."""
    found: dict[tuple[str, str], list[Address]] = {}
    for chunk in in_chunks(sorted({ref for _, ref in messages})):
        rows = QueuedRecipient.objects.filter(ref__in=chunk).order_by("pk")
        for route, ref, recipient in rows.values_list("route", "ref", "recipient"):
            address = read_address(recipient)
            assert address is not None
            found.setdefault((route, ref), []).append(address)
    return found


def _message(rows: Sequence[_Taken], everybody: Mapping[tuple[str, str], Sequence[Address]]) -> QueuedMessage:
    row = rows[0]
    return QueuedMessage(
        ref=row.ref,
        content=ContentId(row.content_id),
        size=row.size,
        reverse_path=read_address(row.reverse_path),
        login=row.login,
        client=row.client,
        subject=row.subject,
        queued=row.queued,
        dsn_return=DsnReturn(row.dsn_return) if row.dsn_return else None,
        envelope_id=row.envelope_id,
        smtputf8=row.smtputf8,
        eight_bit=row.eight_bit,
        recipients=tuple(map(_one, rows)),
        all_recipients=tuple(everybody.get((row.route, row.ref), ())),
    )


def _one(row: _Taken) -> QueuedOne:
    address = read_address(row.recipient)
    assert address is not None
    return QueuedOne(
        id=row.id,
        address=address,
        notify=read_notify(row.notify),
        original_recipient=row.original_recipient,
        tries=row.tries,
        priority=row.priority,
        last_attempt=row.last_attempt,
        route=Route(row.route),
        lan=_lan_target(row),
    )


def _lan_target(row: _Taken) -> LanTarget | None:
    if row.route != QueuedRecipient.Route.LAN:
        return None
    secret = bytes(row.lan_secret) if row.lan_secret is not None else None
    return LanTarget(row.lan_server, row.lan_login, secret)


def read_address(column: str) -> Address | None:
    """As the queue's columns have it: `local@domain`, the local part unquoted; empty is the null path."""
    local, _, domain = column.rpartition("@")
    return Address(local, domain) if column else None


def read_notify(column: str) -> frozenset[DsnNotify]:
    """RFC 3461 §4.1, space-separated."""
    return frozenset(map(DsnNotify, column.split()))
