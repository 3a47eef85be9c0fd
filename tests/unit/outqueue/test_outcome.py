# SPDX-License-Identifier: MIT
"""What a try means for a recipient, and whom it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailserver.journey.records import JourneyStep
from mailserver.outqueue.outcome import Action, RowState, decide, find_status, wants
from mailserver.outqueue.retry import RetryPolicy
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.values import DsnNotify

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
POLICY = RetryPolicy((5, 15), give_up_hours=72, warn_hours=4)
SENT, DEFERRED, FAILED, UNTRIED = AttemptResult
NEVER, SUCCESS, FAILURE, DELAY = DsnNotify


def row(
    tries: int = 0, age_hours: float = 0, has_sender: bool = True, warned: bool = False, *notify: DsnNotify
) -> RowState:
    return RowState(tries, NOW - timedelta(hours=age_hours), has_sender, frozenset(notify), warned)


def test_sent() -> None:
    decision = decide(Attempt(1, SENT), row(2), POLICY, NOW)
    assert (decision.status, decision.tries, decision.finished, decision.report) == ("sent", 3, True, None)
    assert decision.step is JourneyStep.SENT


@pytest.mark.parametrize(("passed_on", "report"), [(True, None), (False, Action.RELAYED)])
def test_success_is_reported_unless_the_next_server_does_it(passed_on: bool, report: Action | None) -> None:
    attempt = Attempt(1, SENT, dsn_passed_on=passed_on)
    assert decide(attempt, row(0, 0, True, False, SUCCESS), POLICY, NOW).report is report


def test_failed() -> None:
    decision = decide(Attempt(1, FAILED), row(), POLICY, NOW)
    assert (decision.status, decision.finished, decision.report) == ("failed", True, Action.FAILED)
    assert decision.next_attempt is None


def test_deferred() -> None:
    decision = decide(Attempt(1, DEFERRED), row(1), POLICY, NOW)
    assert (decision.status, decision.tries, decision.finished) == (None, 2, False)
    assert decision.next_attempt == NOW + timedelta(minutes=15)
    assert (decision.step, decision.report) == (JourneyStep.DEFERRED, None)


def test_a_server_that_was_not_reached_does_not_lengthen_the_waits() -> None:
    decision = decide(Attempt(1, DEFERRED, reached=False), row(0), POLICY, NOW)
    assert (decision.tries, decision.next_attempt) == (0, NOW + timedelta(minutes=5))


@pytest.mark.parametrize(("age_hours", "last_try"), [(72, False), (0, True)])
def test_given_up(age_hours: int, last_try: bool) -> None:
    decision = decide(Attempt(1, DEFERRED, last_try=last_try), row(3, age_hours), POLICY, NOW)
    assert (decision.status, decision.report, decision.step) == ("failed", Action.FAILED, JourneyStep.BOUNCED)


WARNINGS = [
    # age in hours, warned already, when the warning is due
    (1, False, None),
    (3.9, False, NOW + timedelta(minutes=6)),
    (4, False, NOW),
    (9, False, NOW),
    (9, True, None),
]


@pytest.mark.parametrize(("age", "warned", "expected"), WARNINGS)
def test_warning_comes_when_it_is_due_and_once(age: float, warned: bool, expected: datetime | None) -> None:
    decision = decide(Attempt(1, DEFERRED), row(5, age, True, warned), POLICY, NOW)
    assert decision.report_at == expected
    assert (decision.report is Action.DELAYED) == (expected is not None)


def test_untried() -> None:
    decision = decide(Attempt(1, UNTRIED), row(5, 9999), POLICY, NOW)
    assert (decision.status, decision.tries, decision.step, decision.next_attempt) == (None, 5, None, None)
    decision = decide(Attempt(1, UNTRIED, hold_minutes=10), row(), POLICY, NOW)
    assert decision.next_attempt == NOW + timedelta(minutes=10)


def test_hold_lengthens_the_wait_but_never_shortens_it() -> None:
    assert decide(Attempt(1, DEFERRED, hold_minutes=60), row(), POLICY, NOW).next_attempt == NOW + timedelta(hours=1)
    assert decide(Attempt(1, DEFERRED, hold_minutes=1), row(), POLICY, NOW).next_attempt == NOW + timedelta(minutes=5)


WANTED = [
    # NOTIFY, and whether failure, delay and success are told
    ((), (True, True, False)),
    ((NEVER,), (False, False, False)),
    ((SUCCESS,), (False, False, True)),
    ((FAILURE,), (True, False, False)),
    ((DELAY,), (False, True, False)),
    ((SUCCESS, FAILURE, DELAY), (True, True, True)),
]


@pytest.mark.parametrize(("notify", "expected"), WANTED)
def test_what_the_sender_wants_to_know(notify: tuple[DsnNotify, ...], expected: tuple[bool, ...]) -> None:
    state = row(0, 0, True, False, *notify)
    assert tuple(wants(action, state) for action in (Action.FAILED, Action.DELAYED, Action.RELAYED)) == expected
    assert wants(Action.DELIVERED, state) == wants(Action.RELAYED, state)


@pytest.mark.parametrize("result", [FAILED, DEFERRED, SENT])
def test_nobody_is_told_of_a_report(result: AttemptResult) -> None:
    assert decide(Attempt(1, result), row(9, 99, False, False, *DsnNotify), POLICY, NOW).report is None


STATUSES = [
    ("550 5.1.1 Nobody", "5.1.1"),
    ("550-5.1.1 Nobody\n550 5.1.1 at all", "5.1.1"),
    ("450 4.2.0 Busy", "4.2.0"),
    ("250 2.1.5 Ok", "2.1.5"),
    ("550 Nobody", ""),
    ("", ""),
    ("550 5.1.1.1 odd", ""),
    ("junk 5.1.1", ""),
]


@pytest.mark.parametrize(("reply", "status"), STATUSES)
def test_enhanced_status(reply: str, status: str) -> None:
    assert find_status(reply) == status
