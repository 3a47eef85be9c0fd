# SPDX-License-Identifier: MIT
"""Taking messages from the queue to send them: who may have what, and claims on it.

Whoever sends for a Sender holds its lease (`sender_lease`), for LAN forwarding `LAN_LEASE`; he takes a few messages,
which are his until he has recorded an attempt for each of their recipients (`recording.record`) or given them back. A
claim of somebody who has lost the lease is void: his successor takes the message again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from mailserver import clock
from mailserver.connectors.sender_order import senders_in_order
from mailserver.connectors.values import SenderSettings
from mailserver.errors import Kind, MailError
from mailserver.leases import services as leases
from mailserver.outqueue.assignment import Assignment
from mailserver.outqueue.domain_filter import Facts
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.ordering import SendingOrder
from mailserver.outqueue.values import QueuedMessage, QueuedOne, Route
from mailserver.store.chunks import in_chunks
from mailserver.store.interface import LanTarget
from mailserver.store.opening import open_store
from mailserver.values import Address, ContentId, DsnNotify, DsnReturn

LAN_LEASE = "lan-forwarding"
MOST_LOOKED_AT = 10_000
WINDOW = 1000
"""Rows looked at by one query: some milliseconds on SQLite."""


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
    chosen = _Choice(Route.SENDERS, sender.id, SendingOrder(sender.smaller_first, sender.reverse_order))
    return _take(chosen, sender_lease(sender.id), owner, limit, queued_before, leave_out)


def take_lan(owner: str, limit: int, *, leave_out: Collection[int] = ()) -> list[QueuedMessage]:
    """The same for LAN forwarding: recipients of one message for different servers come as several messages."""
    return _take(_Choice(Route.LAN, None, SendingOrder()), LAN_LEASE, owner, limit, None, leave_out)


def give_back(owner: str, ids: Collection[int] | None = None) -> int:
    """Void this holder's claims, on these recipients or on all; says how many there were."""
    claimed = QueuedRecipient.objects.filter(claim=owner)
    if ids is None:
        return claimed.update(claim="")
    return sum(claimed.filter(pk__in=chunk).update(claim="") for chunk in in_chunks(list(ids)))


def has_due(sender: SenderSettings) -> bool:
    """Whether `take` would find something now, or something that a dead worker left claimed; changes nothing."""
    return bool(_choose(_Choice(Route.SENDERS, sender.id, SendingOrder()), 1, None, ())) or _is_abandoned(Route.SENDERS)


def has_due_lan() -> bool:
    """Whether `take_lan` would find something now, or something that a dead worker left claimed."""
    return _due(Route.LAN, clock.now()).exists() or _is_abandoned(Route.LAN)


def count_due(sender: SenderSettings | None = None) -> int:
    """Messages that could be sent now, by this Sender or by any: what a schedule item's minimum is compared with."""
    if sender is not None:
        chosen = _choose(_Choice(Route.SENDERS, sender.id, SendingOrder()), None, None, ())
        return len({ref for _, ref in chosen})
    return _due(Route.SENDERS, clock.now()).order_by().values("ref").distinct().count()


def count_unwanted() -> int:
    """Messages that could be sent now and that no Sender takes, among the first MOST_LOOKED_AT recipients."""
    assignment = Assignment([(sender.id, sender.domain_filter) for sender in senders_in_order()])
    rows = _sorted(_due(Route.SENDERS, clock.now()), SendingOrder()).values_list(*_COLUMNS)
    return len({row[1] for row in _pick(list(rows[:MOST_LOOKED_AT]), assignment, None)})


@dataclass(frozen=True, slots=True)
class _Choice:
    """Whose messages, in which order."""

    route: Route
    sender: int | None
    order: SendingOrder


def _take(
    choice: _Choice,
    lease: str,
    owner: str,
    limit: int,
    queued_before: datetime | None,
    leave_out: Collection[int],
) -> list[QueuedMessage]:
    chosen = _choose(choice, limit, queued_before, leave_out)
    if not _fills(chosen, limit) and _void_stale_claims(choice, lease, owner):
        chosen = _choose(choice, limit, queued_before, leave_out)
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


def _claim(choice: _Choice, owner: str, ids: Sequence[int]) -> None:
    """What was held, deleted or claimed since it was chosen is passed over."""
    for chunk in in_chunks(ids):
        free = QueuedRecipient.objects.filter(pk__in=chunk, status=QueuedRecipient.Status.WAITING, claim="")
        free.update(claim=owner, sender_id=choice.sender)


def _void_stale_claims(choice: _Choice, lease: str, owner: str) -> int:
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


# ---------------------------------------------------------------- choosing


def _due(route: Route, now: datetime) -> QuerySet[QueuedRecipient]:
    """What waits, is not held, by hand or by a timer, and whose next try has come."""
    return QueuedRecipient.objects.filter(
        Q(next_attempt__isnull=True) | Q(next_attempt__lte=now),
        Q(hold_until__isnull=True) | Q(hold_until__lte=now),
        Q(delete_after__isnull=True) | Q(delete_after__gt=now),
        status=QueuedRecipient.Status.WAITING,
        route=route,
        claim="",
    )


def _sorted(rows: QuerySet[QueuedRecipient], order: SendingOrder) -> QuerySet[QueuedRecipient]:
    """As `ordering.sort_messages` sorts; the recipients of a message stay together."""
    measure = "size" if order.smaller_first else "queued"
    return rows.order_by("priority", f"-{measure}" if order.reverse else measure, "ref", "id")


def _choose(
    choice: _Choice, limit: int | None, queued_before: datetime | None, leave_out: Collection[int]
) -> list[tuple[int, str]]:
    """Number and ref of each recipient to try: all that are due of the first `limit` messages."""
    belongs = _belonging(choice)
    if belongs is None:
        return []
    columns = _COLUMNS if belongs is not iter else _COLUMNS[:2]
    rows = _sorted(_due(choice.route, clock.now()), choice.order)
    if queued_before is not None:
        rows = rows.filter(queued__lt=queued_before)
    left_out = frozenset(leave_out)
    chosen: list[tuple[int, str]] = []
    refs: set[str] = set()
    for start, size in _windows(limit):
        window = list(rows.values_list(*columns)[start : start + size])
        for row in belongs([row for row in window if row[0] not in left_out]):
            if row[1] not in refs and limit is not None and len(refs) == limit:
                return chosen
            refs.add(row[1])
            chosen.append((row[0], row[1]))
        if len(window) < size:
            break
    return chosen


def _windows(limit: int | None) -> Iterator[tuple[int, int]]:
    """Where each query starts and how many rows it asks for: few where few are wanted, then more and more."""
    start, size = 0, WINDOW if limit is None else min(WINDOW, 2 * limit + 10)
    while True:
        yield start, size
        start, size = start + size, min(WINDOW, 2 * size)


_Row = tuple[Any, ...]
_Belonging = Callable[[list[_Row]], Iterator[_Row]]
_COLUMNS = (
    "id",
    "ref",
    "content_id",
    "size",
    "tries",
    "queued",
    "reverse_path",
    "recipient",
    "login",
    "client",
    "subject",
)


def _belonging(choice: _Choice) -> _Belonging | None:
    """What picks this Sender's rows out of some; None when there can be none."""
    if choice.sender is None:
        return iter
    assignment = Assignment([(sender.id, sender.domain_filter) for sender in senders_in_order()])
    if assignment.gets_nothing(choice.sender):
        return None
    if assignment.gets_everything(choice.sender):
        return iter
    return lambda rows: _pick(rows, assignment, choice.sender)


def _pick(rows: list[_Row], assignment: Assignment, sender: int | None) -> Iterator[_Row]:
    now = clock.now()
    counts = _count_recipients({row[1] for row in rows})
    for row in rows:
        _, ref, content, size, tries, queued, reverse_path, recipient, login, client, subject = row
        facts = Facts(
            size=size,
            recipients=counts[ref],
            tries=tries,
            age_minutes=(now - queued) // timedelta(minutes=1),
            reverse_path=reverse_path,
            recipient=recipient,
            login=login,
            client=client,
            subject=subject,
            header=lambda content=content: _read_header(content),  # type: ignore[misc]
        )
        if assignment.sender_of(facts) == sender:
            yield row


def _count_recipients(refs: Collection[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in in_chunks(sorted(refs)):
        rows = QueuedRecipient.objects.filter(ref__in=chunk).order_by().values_list("ref")
        counts.update(dict(rows.annotate(count=Count("pk"))))
    return counts


def _read_header(content: int) -> bytes:
    """The beginning of the message, which is enough for its header section; empty when the content is gone."""
    for found in open_store().read_contents([ContentId(content)]):
        return b"".join(_first(found.chunks(relay=True)))
    return b""


def _first(chunks: Iterator[bytes], enough: int = 256 * 1024) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if size >= enough:
            return


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
    return [_message(group) for group in groups.values()]


def _message(rows: Sequence[_Taken]) -> QueuedMessage:
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
