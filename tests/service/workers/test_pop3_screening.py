# SPDX-License-Identifier: MIT
"""Collecting by POP3: what rules, limits and scripts say before a message is fetched, and what becomes of questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.connectors.values import Outcome
from mailserver.hooks.events import CollectVerdict, MessageCollected, MessageListed
from mailserver.hooks.interface import Hooks
from tests.support.answering import answer
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.evil_mailbox import CATCH_ALL, collector, mailbox, numbers, rule
from tests.support.evil_pop3 import EvilPop3
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("action", "targets", "got", "left"),
    [
        ("download", "", {"alice": ["Message 1"]}, True),
        ("download-delete", "", {"alice": ["Message 1"]}, False),
        ("redirect", "bob", {"bob": ["Message 1"]}, True),
        ("copy", "bob", {"alice": ["Message 1"], "bob": ["Message 1"]}, True),
        ("redirect-delete", "bob@example.test", {"bob": ["Message 1"]}, False),
        ("copy-delete", "bob, postmaster", {name: ["Message 1"] for name in ("alice", "bob", "postmaster")}, False),
        ("redirect", "nobody", {"alice": ["Message 1"]}, True),
        ("ignore", "", {}, True),
        ("delete", "", {}, False),
        ("delete-warn", "", {"alice": ["A message for you was deleted: Message 1"]}, False),
        ("delete-warn-redirect", "bob", {"bob": ["A message for you was deleted: Message 1"]}, False),
        ("query", "", {"alice": ["Shall this message be fetched? Message 1"]}, True),
        (
            "query-copy",
            "bob",
            {name: ["Shall this message be fetched? Message 1"] for name in ("alice", "bob")},
            True,
        ),
        ("query-redirect", "bob", {"bob": ["Shall this message be fetched? Message 1"]}, True),
    ],
)
def test_download_rules(
    office: CollectingOffice, action: str, targets: str, got: dict[str, list[str]], left: bool
) -> None:
    rule(action, ("header", "Subject", "message 1"), ("size", "", "100"), targets=targets)
    rule("delete", ("header", "Subject", "message"), enabled=False)
    with mailbox(1) as evil:
        settings = collector(office, evil, use_download_rules=True, leave_on_server_days=3)
        for _ in range(2):
            assert office.collect(settings).outcome is Outcome.OK
        found = {user: [subject.split(" [")[0] for subject in office.subjects(user)] for user in office.users}
        assert {user: subjects for user, subjects in found.items() if subjects} == got
        assert bool(evil.messages) == left
        assert any(line.startswith("TOP 1 0") for line in evil.log)


@pytest.mark.parametrize(("pipelining", "ahead"), [(True, 5), (False, 1)])
def test_headers_are_asked_for_many_ahead(office: CollectingOffice, pipelining: bool, ahead: int) -> None:
    rule("ignore", ("header", "Subject", "message 3"))
    with mailbox(5, pipelining=pipelining) as evil:
        office.collect(collector(office, evil, use_download_rules=True))
    assert numbers(office) == [1, 2, 4, 5]
    said = "\n".join(office.log.lines).partition("C: TOP 1 0")[2].partition("\nS:")[0]
    assert said.count("C: TOP") == ahead - 1


def test_a_header_that_is_refused(office: CollectingOffice) -> None:
    rule("ignore", ("header", "Subject", "message 3"))
    with mailbox(3, no_top=True) as evil:
        text = office.collect(collector(office, evil, use_download_rules=True)).text
    assert "Message 2 is left at the provider. The server refused TOP: unknown command." in text


def test_a_warning_about_something_for_nobody_goes_to_the_administrator(office: CollectingOffice) -> None:
    rule("delete-warn-copy", targets="bob")
    with EvilPop3([make_message(1, "carol@example.test")]) as evil:
        office.collect(collector(office, evil, CATCH_ALL, use_download_rules=True))
    assert office.subjects("bob") == ["A message for you was deleted: Message 1"]
    assert office.steps("deleted")[0].endswith('The download rule "rule delete-warn-copy" says so.')


def test_a_rule_lets_a_large_message_through(office: CollectingOffice) -> None:
    rule("download", ("header", "From", "sender*elsewhere"))
    with EvilPop3([make_message(1, size=5000)]) as evil:
        office.collect(collector(office, evil, use_download_rules=True, max_kilobytes=1))
        assert evil.messages == []
    assert numbers(office) == [1]


def test_scripts_have_a_say(office: CollectingOffice) -> None:
    class Scripts(Hooks):
        async def on_message_listed(self, event: MessageListed) -> str | None:
            return "delete" if event.size > 4000 else None

        async def on_message_collected(self, event: MessageCollected) -> CollectVerdict | None:
            if event.subject == "Message 1":
                return CollectVerdict(ignore=True, reason="not this one")
            return CollectVerdict(to_original_recipients=False, recipients=("bob",), delete=False)

    office.hooks = Scripts()
    with EvilPop3([make_message(1), make_message(2), make_message(3, size=5000)]) as evil:
        for _ in range(2):
            assert office.collect(collector(office, evil)).outcome is Outcome.OK
        assert evil.messages == [make_message(2)]
    assert (numbers(office), numbers(office, "bob")) == ([], [2])
    assert "not this one" in office.steps("dropped")


# ---------------------------------------------------------------- questions and answers


def test_a_large_message_is_asked_about_once_and_fetched_when_wanted(
    office: CollectingOffice, still_clock: StillClock
) -> None:
    with EvilPop3([make_message(1, size=9000), make_message(2)]) as evil:
        settings = collector(office, evil, max_kilobytes=4)
        for _ in range(3):
            office.collect(settings)
        assert [subject.split(" [")[0] for subject in office.subjects("alice")] == [
            "Shall this message be fetched? Message 1",
            "Message 2",
        ]
        assert "fetches at most 4 kB unasked" in office.messages("alice")[0].decode()
        still_clock.advance(days=13)
        answer(office, "alice")
        office.collect(settings)
        assert numbers(office) == [1, 2]
        assert evil.messages == []
    assert len(office.steps("answered")) == 1


def test_what_a_program_answers_is_no_answer(office: CollectingOffice) -> None:
    with EvilPop3([make_message(1, size=9000)]) as evil:
        settings = collector(office, evil, max_kilobytes=4)
        office.collect(settings)
        answer(office, "alice", **{"Auto-Submitted": "auto-replied"})
        office.collect(settings)
        assert numbers(office) == []


@pytest.mark.parametrize("days", [0, 20])
def test_an_answer_that_comes_too_late(office: CollectingOffice, still_clock: StillClock, days: int) -> None:
    with EvilPop3([make_message(1, size=9000)]) as evil:
        settings = collector(office, evil, max_kilobytes=4, leave_on_server_days=days)
        office.collect(settings)
        still_clock.advance(days=15)
        answer(office, "alice")
        office.collect(settings)
        assert len(evil.messages) == 1
        still_clock.advance(days=6)
        office.collect(settings)
        assert numbers(office) == []
        assert len(evil.messages) == (0 if days else 1)
