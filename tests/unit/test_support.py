# SPDX-License-Identifier: MIT
"""The test run's own parts: which half runs what, how the closing line is summed, waiting, swallowed exceptions."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest

from mailserver import clock
from tests.support.bugs import BugCatcher
from tests.support.certificates import server_context
from tests.support.postgres import with_database
from tests.support.still_clock import StillClock
from tests.support.suites import NOTHING_SELECTED, Outcome, read_outcome, take_marker
from tests.support.waiting import until, wait_until

REPORT = '<testsuites><testsuite tests="{0}" failures="{1}" errors="{2}" skipped="{3}"/></testsuites>'


@pytest.mark.parametrize(
    ("arguments", "rest", "marker"),
    [
        ([], [], ""),
        (["tests"], ["tests"], ""),
        (["tests", "-m", "slow", "-x"], ["tests", "-x"], "slow"),
    ],
)
def test_the_marker_is_taken_out_of_the_arguments(arguments: list[str], rest: list[str], marker: str) -> None:
    assert take_marker(arguments) == (rest, marker)


@pytest.mark.parametrize(
    ("figures", "status", "outcome"),
    [
        ((10, 0, 0, 0), 0, Outcome(10, 0)),
        ((10, 2, 1, 0), 1, Outcome(7, 3)),
        ((10, 0, 0, 1), 0, Outcome(9, 1)),
        ((10, 0, 0, 0), 3, Outcome(10, 1)),
    ],
    ids=["all good", "failures and errors", "a skip is a failure", "pytest broke down afterwards"],
)
def test_a_report_is_summed(tmp_path: Path, figures: tuple[int, ...], status: int, outcome: Outcome) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT.format(*figures))
    assert read_outcome(report, status) == outcome


def test_a_run_without_a_report_has_failed(tmp_path: Path) -> None:
    assert read_outcome(tmp_path / "none.xml", 4) == Outcome(0, 1)


def test_an_empty_selection_is_no_failure_of_its_half(tmp_path: Path) -> None:
    assert read_outcome(tmp_path / "none.xml", NOTHING_SELECTED) == Outcome()


def test_another_database_of_the_same_server() -> None:
    assert with_database("postgresql://u@h:5432/postgres?host=/tmp", "x") == "postgresql://u@h:5432/x?host=/tmp"


def test_a_test_that_narrows_its_context_narrows_no_other() -> None:
    server_context().maximum_version = ssl.TLSVersion.TLSv1_2
    assert server_context().maximum_version is not ssl.TLSVersion.TLSv1_2


def test_waiting_gives_the_first_true_answer() -> None:
    answers = iter([0, "", 7])
    assert wait_until(lambda: next(answers), 5, "a seven") == 7


def test_waiting_says_for_what_it_waited_in_vain() -> None:
    with pytest.raises(AssertionError, match="in vain for a miracle"):
        wait_until(lambda: False, 0, "a miracle")


async def test_coroutines_wait_likewise() -> None:
    answers = iter([False, True])
    assert await until(lambda: next(answers), 5, "a turn")
    with pytest.raises(AssertionError, match="in vain for a miracle"):
        await until(lambda: False, 0, "a miracle")


def test_the_still_clock_moves_only_when_told(still_clock: StillClock) -> None:
    before = clock.now()
    assert clock.now() == before
    still_clock.advance(minutes=5)
    assert (clock.now() - before).total_seconds() == 300


def test_a_swallowed_exception_is_caught(bug_catcher: BugCatcher) -> None:
    try:
        raise ZeroDivisionError("one over none")
    except ZeroDivisionError:
        logging.getLogger("pillarbox.test").exception("session 7")
    assert "one over none" in bug_catcher.report()
    bug_catcher.bugs.clear()


def test_what_a_peer_did_wrong_is_no_bug(bug_catcher: BugCatcher) -> None:
    logging.getLogger("pillarbox.test").error("the peer sent nonsense")
    assert bug_catcher.bugs == []
