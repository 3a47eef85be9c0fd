# SPDX-License-Identifier: MIT
"""Recording what became of recipients: once this has returned, no crash makes a message that was sent go out again.

One transaction for many attempts: the row, the attempt, the journey's step, and the work row for a report that is
due. What was sent is recorded whoever has the claim by now; anything else only by who holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction

from mailserver import clock
from mailserver.connectors.values import SenderSettings
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.journey.services import record_steps
from mailserver.outqueue.models import QueuedRecipient, SendAttempt
from mailserver.outqueue.outcome import Action, Decision, RowState, decide, find_status
from mailserver.outqueue.retry import LAN_POLICY, RetryPolicy
from mailserver.outqueue.taking import read_notify
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.store.bulk import Row, Table
from mailserver.store.chunks import in_chunks
from mailserver.store.records import fit
from mailserver.work import services as work

REPORT = "send-report"
"""The kind of work that tells a sender of outcomes; `workers.reports` does it."""
MAX_REPLY_CHARACTERS = 4000
"""Kept of a server's words. RFC 5321 §4.5.3.1.5 allows 512 octets a line; longer ones are seen in the wild."""
NOBODY_SENDS = "451 4.4.4 No Connection of this server sends this message. An administrator has to look at this."
"""RFC 3463 §3.5: no next hop is known."""
NOTHING_RUNS = "451 4.4.4 Nothing runs the Connection that sends this message. An administrator has to look at this."
NOTED_BEFORE = timedelta(hours=1)
"""Nobody's message is given up sooner after that was noted: a Sender may only be switched off while it is changed."""

ROWS = Table(
    QueuedRecipient,
    "id",
    "status",
    "tries",
    "next_attempt",
    "last_attempt",
    "last_server",
    "last_reply",
    "last_status",
    "last_remote",
    "finished",
    "claim",
)
ATTEMPTS = Table(SendAttempt, "queued", "sender", "server", "started", "result", "tls")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A recipient's row before the attempt."""

    id: int
    ref: str
    recipient: str
    status: str
    tries: int
    reverse_path: str
    notify: str
    claim: str
    sender_id: int | None
    last_server: str = ""
    last_reply: str = ""
    last_status: str = ""
    last_remote: bool = False
    queued: datetime | None = None
    hold_until: datetime | None = None
    warned: datetime | None = None
    next_attempt: datetime | None = None
    last_attempt: datetime | None = None

    def state(self, now: datetime) -> RowState:
        return RowState(
            tries=self.tries,
            since=self.hold_until or self.queued or now,
            has_sender=bool(self.reverse_path),
            notify=read_notify(self.notify),
            warned=self.warned is not None,
        )

    def is_due(self, now: datetime) -> bool:
        """Not held, not taken by a Sender in this very moment, and not tried by one."""
        free = self.status == QueuedRecipient.Status.WAITING and not self.claim
        return free and all(moment is None or moment <= now for moment in (self.next_attempt, self.hold_until))

    def takes(self, attempt: Attempt, owner: str) -> bool:
        """A message that was sent counts in any case, unless that is known already."""
        if attempt.result is AttemptResult.SENT:
            return self.status != QueuedRecipient.Status.SENT
        return self.claim == owner


_ALL = tuple(_Stored.__dataclass_fields__)
_NEEDED_IF_SENT = _ALL[: _ALL.index("last_server")]
"""Times cost the most to read, and of what was sent nobody asks how old it was."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One attempt with its row, and what was decided."""

    attempt: Attempt
    row: _Stored
    decision: Decision


def policy_of(sender: SenderSettings) -> RetryPolicy:
    """A Sender's timetable (spec senders 7.3)."""
    return RetryPolicy(sender.retry_minutes, sender.give_up_hours, sender.warn_hours)


def record(attempts: Sequence[Attempt], owner: str, sender: SenderSettings) -> None:
    """What a Sender's tries came to. `owner` is who took the messages. Recipients that are gone are passed over."""
    _record(attempts, owner, policy_of(sender))


def record_lan(attempts: Sequence[Attempt], owner: str) -> None:
    """What came of tries to forward in the local network."""
    _record(attempts, owner, LAN_POLICY)


def _record(attempts: Sequence[Attempt], owner: str, policy: RetryPolicy) -> None:
    now = clock.now()
    with transaction.atomic():
        only_sent = all(attempt.result is AttemptResult.SENT for attempt in attempts)
        rows = _lock({attempt.id for attempt in attempts}, _NEEDED_IF_SENT if only_sent else _ALL)
        recorded = [
            _Recorded(attempt, row, decide(attempt, row.state(now), policy, now))
            for attempt in {attempt.id: attempt for attempt in attempts}.values()
            if (row := rows.get(attempt.id)) is not None and row.takes(attempt, owner)
        ]
        tried = [one for one in recorded if one.attempt.result is not AttemptResult.UNTRIED]
        ROWS.update(_row(one, now) for one in recorded)
        ATTEMPTS.insert(_attempt(one, now) for one in tried)
        record_steps(step for one in tried for step in _steps(one, now))
        _order_reports(tried)


def record_unwanted(takers: Mapping[int, int | None], policies: Mapping[int, RetryPolicy], now: datetime) -> int:
    """Nothing sends these: told and given up in the time of any other message, though nothing was tried. Says how many
    were given up.

    `takers` says who would send each if something made him run, and `policies` has the Senders' timetables: his
    counts, or that of who tried it last. What waits stays due, so that it leaves as soon as somebody sends it.
    """
    with transaction.atomic():
        rows = [row for row in _lock(set(takers), _ALL).values() if row.is_due(now)]
        judged = [_judge(row, takers[row.id], policies, now) for row in rows]
        news = [one for one in judged if one.decision.finished or one.row.last_reply != one.attempt.reply]
        ROWS.update(_row(one, now) for one in news)
        _assign([one.row.id for one in news], takers)
        record_steps(step for one in news for step in _steps(one, now))
        ordered = _find_ordered(warnings=True) if any(one.decision.report for one in judged) else frozenset()
        _order_reports(one for one in judged if one.decision.finished or one.row.ref not in ordered)
    return sum(one.decision.finished for one in judged)


def _judge(row: _Stored, taker: int | None, policies: Mapping[int, RetryPolicy], now: datetime) -> _Recorded:
    reply = NOBODY_SENDS if taker is None else NOTHING_RUNS
    attempt = Attempt(row.id, AttemptResult.DEFERRED, reply, remote=False, reached=False)
    policy = replace(policies.get(taker or row.sender_id or 0, RetryPolicy()), minutes=(1,))
    decision = decide(attempt, row.state(now), policy, now)
    noted = row.last_attempt if row.last_reply == reply else None
    if decision.finished and (noted is None or noted > now - NOTED_BEFORE):
        decision = Decision(None, row.tries, step=JourneyStep.DEFERRED)
    return _Recorded(attempt, row, replace(decision, next_attempt=None))


def _assign(ids: Iterable[int], takers: Mapping[int, int | None]) -> None:
    """By whose timetable it is given up, its report is to say."""
    by_taker: dict[int, list[int]] = {}
    for id_ in ids:
        if (taker := takers[id_]) is not None:
            by_taker.setdefault(taker, []).append(id_)
    for taker, own in by_taker.items():
        for chunk in in_chunks(own):
            QueuedRecipient.objects.filter(pk__in=chunk).update(sender_id=taker)


def _lock(ids: set[int], columns: Sequence[str]) -> dict[int, _Stored]:
    return {
        row[0]: _Stored(*row)
        for chunk in in_chunks(sorted(ids))
        for row in QueuedRecipient.objects.select_for_update().filter(pk__in=chunk).order_by("pk").values_list(*columns)
    }


def _row(one: _Recorded, now: datetime) -> Row:
    row, decision, attempt = one.row, one.decision, one.attempt
    if attempt.result is AttemptResult.UNTRIED:
        again = decision.next_attempt or row.next_attempt
        last = (row.last_attempt, row.last_server, row.last_reply, row.last_status, row.last_remote)
        return (row.id, row.status, row.tries, again, *last, None, "")
    return (
        row.id,
        decision.status or row.status,
        decision.tries,
        decision.next_attempt,
        attempt.started or now,
        fit(attempt.server, 300),
        fit(attempt.reply, MAX_REPLY_CHARACTERS),
        fit(attempt.status or find_status(attempt.reply), 12),
        attempt.remote,
        now if decision.finished else None,
        "",
    )


def _attempt(one: _Recorded, now: datetime) -> Row:
    """Of the Sender that its row names: one that was deleted meanwhile is named by none."""
    attempt = one.attempt
    reply = fit(attempt.reply, MAX_REPLY_CHARACTERS)
    return (
        attempt.id,
        one.row.sender_id,
        fit(attempt.server, 300),
        attempt.started or now,
        reply,
        fit(attempt.tls, 60),
    )


def _steps(one: _Recorded, now: datetime) -> Iterable[JourneyStepRecord]:
    if one.decision.step is not None:
        detail = one.attempt.reply.replace("\r", "").replace("\n", " ")
        if one.attempt.server:
            encrypted = ", encrypted" if one.attempt.tls else ""
            detail = f"{one.attempt.server}{encrypted}: {detail}"
        yield JourneyStepRecord(one.row.ref, now, one.decision.step, one.row.recipient, detail)


def _order_reports(tried: Iterable[_Recorded]) -> None:
    """One work row for each message, kind of report and moment."""
    wanted: dict[tuple[str, Action, datetime | None], list[_Stored]] = {}
    for one in tried:
        if one.decision.report is not None:
            key = (one.row.ref, one.decision.report, one.decision.report_at)
            wanted.setdefault(key, []).append(one.row)
    for (ref, action, moment), rows in wanted.items():
        order_report(ref, action, [row.id for row in rows], not_before=moment)


def order_report(ref: str, action: Action, rows: Sequence[int], *, not_before: datetime | None = None) -> None:
    """Have the sender told, once the caller's transaction is committed."""
    work.request(REPORT, {"ref": ref, "action": action.value, "rows": list(rows)}, not_before=not_before)


def find_untold() -> frozenset[str]:
    """Refs of messages of whose outcome somebody is still to be told; a warning is none."""
    return _find_ordered(warnings=False)


def _find_ordered(*, warnings: bool) -> frozenset[str]:
    """Refs of messages of which a warning, or another report, is still to be written."""
    payloads = work.list_payloads(REPORT)
    return frozenset(
        str(payload["ref"]) for payload in payloads if (payload.get("action") == Action.DELAYED) is warnings
    )
