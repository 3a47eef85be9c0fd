# SPDX-License-Identifier: MIT
"""What a try means for the recipient's row: done, given up, or again later; and whether the sender is to be told.

RFC 5321 §4.5.4.1, RFC 3461 §5.2 and §6.2. Spec senders 4.2, 7.3 and 8.6. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailserver.journey.records import JourneyStep
from mailserver.outqueue.retry import RetryPolicy, next_attempt, warning_moment
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.values import DsnNotify


class Action(enum.StrEnum):
    """What a report says of a recipient: RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class RowState:
    """What the decision needs to know of a recipient's row. `has_sender`: its reverse path is not the null path."""

    tries: int
    since: datetime
    """When it was queued, or last released: its age counts from then."""
    has_sender: bool
    notify: Collection[DsnNotify] = ()
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """How the row goes on. `status` None: it stays as it is."""

    status: str | None
    tries: int
    next_attempt: datetime | None = None
    finished: bool = False
    step: JourneyStep | None = None
    report: Action | None = None
    report_at: datetime | None = None
    """A warning that is due later, should nothing change until then."""


def decide(attempt: Attempt, row: RowState, policy: RetryPolicy, now: datetime) -> Decision:
    """What becomes of a recipient after this try."""
    match attempt.result:
        case AttemptResult.SENT:
            wanted = wants(Action.RELAYED, row) and not attempt.dsn_passed_on
            return Decision(
                "sent", row.tries + 1, finished=True, step=JourneyStep.SENT, report=Action.RELAYED if wanted else None
            )
        case AttemptResult.FAILED:
            return _give_up(row)
        case AttemptResult.DEFERRED:
            return _defer(attempt, row, policy, now)
        case AttemptResult.UNTRIED:
            return Decision(None, row.tries, _not_before(attempt, now))


def _defer(attempt: Attempt, row: RowState, policy: RetryPolicy, now: datetime) -> Decision:
    tries = row.tries + 1 if attempt.reached else row.tries
    again = None if attempt.last_try else next_attempt(policy, tries, row.since, now)
    if again is None:
        return _give_up(row)
    again = max(again, _not_before(attempt, now) or again)
    warn_at = warning_moment(policy, row.since) if not row.warned and wants(Action.DELAYED, row) else None
    if warn_at is None or warn_at >= again:
        return Decision(None, tries, again, step=JourneyStep.DEFERRED)
    return Decision(None, tries, again, step=JourneyStep.DEFERRED, report=Action.DELAYED, report_at=max(warn_at, now))


def _give_up(row: RowState) -> Decision:
    report = Action.FAILED if wants(Action.FAILED, row) else None
    return Decision("failed", row.tries + 1, finished=True, step=JourneyStep.BOUNCED, report=report)


def _not_before(attempt: Attempt, now: datetime) -> datetime | None:
    return now + timedelta(minutes=attempt.hold_minutes) if attempt.hold_minutes else None


def wants(action: Action, row: RowState) -> bool:
    """Whether the sender wants to know: RFC 3461 §4.1. Of a report's own fate nobody is told (RFC 5321 §6.1)."""
    if not row.has_sender or DsnNotify.NEVER in row.notify:
        return False
    if action in (Action.RELAYED, Action.DELIVERED):
        return DsnNotify.SUCCESS in row.notify
    wanted = DsnNotify.DELAY if action is Action.DELAYED else DsnNotify.FAILURE
    return not row.notify or wanted in row.notify


# status-code = class "." subject "." detail; RFC 3463 §2
_STATUS = re.compile(r"[245]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})(?!\S)")


def find_status(reply: str) -> str:
    """The enhanced status code in a reply; empty where there is none."""
    match = _STATUS.match(reply)
    return match[1] if match else ""
