# SPDX-License-Identifier: MIT
"""Download rules: every condition and what the actions mean (spec connectors 4.6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mailserver.connectors.download_rules import (
    DOWNLOAD,
    Action,
    Decision,
    Facts,
    Rule,
    decide,
    parse_condition,
    parse_conditions,
    split_targets,
)
from mailserver.connectors.models import DownloadRule
from mailserver.errors import InvalidInput

SUNDAY = datetime(2026, 3, 1, 9, 30, 40, tzinfo=ZoneInfo("Europe/London"))
HEADER = (
    b"From: Shop <news@shop.test>\r\nSubject: =?utf-8?q?Gro=C3=9Fe?= Offers\r\n"
    b"X-Spam: YES,\r\n\tscore=9\r\nReceived: one\r\nReceived: two\r\n"
)
FACTS = Facts(HEADER, 50_000, SUNDAY, 3, "Provider mailbox", ("alice", "bob"), valid=2, invalid=1)


@pytest.mark.parametrize(
    ("kind", "field", "value", "holds"),
    [
        ("header", "Subject", "große offers", True),
        ("header", "subject", "gr*offers", True),
        ("header", "Subject", "offer.", False),
        ("header", "From", "@shop.test", True),
        ("header", "To", "", False),
        ("header", "Received", "two", True),
        ("header", "X-Spam", "yes*score=9", True),
        ("header", "*", "score=", True),
        ("header", "*", "lottery", False),
        ("size", "", "50000", True),
        ("size", "", "50001", False),
        ("time", "", "09:30-10:00", True),
        ("time", "", "9:00-09:30", True),
        ("time", "", "09:31-10:00", False),
        ("time", "", "22:00-09:30", True),
        ("time", "", "22:00-06:00", False),
        ("day", "", "1", True),
        ("day", "", "23456", False),
        ("day", "", "71", True),
        ("recipient", "", "BOB", True),
        ("recipient", "", "carol", False),
        ("collector", "", "provider MAILBOX", True),
        ("collector", "", "3", True),
        ("collector", "", "2", False),
        ("valid", "", "2", True),
        ("valid", "", "3", False),
        ("invalid", "", "1", True),
        ("invalid", "", "2", False),
    ],
)
def test_conditions(kind: str, field: str, value: str, holds: bool) -> None:
    assert parse_condition({"kind": kind, "field": field, "value": value}).holds(FACTS) is holds


@pytest.mark.parametrize(
    ("kind", "field", "value", "words"),
    [
        ("weather", "", "rain", "there is no condition"),
        ("header", "", "x", "name the header field"),
        ("header", "two words", "x", "name the header field"),
        ("size", "", "big", "is not a number"),
        ("time", "", "9-17", "write the time as"),
        ("time", "", "25:00-26:00", "write the time as"),
        ("day", "", "8", "write the days as digits"),
        ("recipient", "", "", "say who"),
    ],
)
def test_conditions_that_cannot_be_read(kind: str, field: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_condition({"kind": kind, "field": field, "value": value})


def test_wrong_conditions_are_numbered() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_conditions([{"kind": "size", "value": "1"}, {"kind": "size", "value": "x"}, {}])
    assert [text.split(":")[0] for text in caught.value.messages["conditions"]] == ["Condition 2", "Condition 3"]


def rule(name: str, *conditions: dict[str, Any], match_all: bool = True) -> Rule:
    return Rule(name, Action.IGNORE, ("bob",), match_all, parse_conditions(conditions))


YES, NO = {"kind": "size", "value": "1"}, {"kind": "size", "value": "99999999"}


def test_the_first_that_fits_decides() -> None:
    assert decide([rule("no", NO), rule("yes", YES), rule("always")], FACTS) == Decision(Action.IGNORE, "yes", ("bob",))
    assert decide([rule("always")], replace(FACTS, size=0)).rule == "always"
    assert decide([rule("all", YES, NO), rule("any", NO, YES, match_all=False)], FACTS).rule == "any"
    assert decide([rule("none", NO, match_all=False)], FACTS) == DOWNLOAD == decide([], FACTS)


def test_what_actions_mean() -> None:
    assert {action.value for action in Action} == {value for value, _ in DownloadRule.Action.choices}
    assert [action.value for action in Action if action.fetches] == [
        "download", "download-delete", "redirect", "copy", "redirect-delete", "copy-delete",
    ]  # fmt: skip
    assert {action.value for action in Action if action.deletes} == {
        "download-delete", "redirect-delete", "copy-delete",
        "delete", "delete-warn", "delete-warn-copy", "delete-warn-redirect",
    }  # fmt: skip
    assert [action.value for action in Action if action.asks] == ["query", "query-copy", "query-redirect"]
    assert split_targets(" bob, x@y.test ,,") == ("bob", "x@y.test")


def test_a_field_that_nearly_fits_costs_nothing() -> None:
    condition = parse_condition({"kind": "header", "field": "Subject", "value": "*free*offer*now"})
    assert not condition.holds(Facts(f"Subject: {'free offer ' * 20_000}\r\n\r\n".encode(), 0, SUNDAY))
