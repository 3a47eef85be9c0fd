# SPDX-License-Identifier: MIT
"""Every reply is well formed, every failure has one, and known texts are kept to the letter."""

from __future__ import annotations

import re

import pytest

from mailserver.errors import Kind
from mailserver.pipeline.verdict import Refuse
from protocols.smtp import replies
from protocols.smtp.data import Fault
from protocols.smtp.grammar import GrammarError, Wrong

LINE = re.compile(rb"[2-5][0-5][0-9][ -](?:[245]\.\d{1,3}\.\d{1,3} )?[ -~]+\r\n")
CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, bytes)}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant_is_well_formed(name: str) -> None:
    reply = CONSTANTS[name]
    assert LINE.fullmatch(reply)
    assert len(reply) <= 512
    status = reply[4:].split(b".", 1)
    assert not status[0].isdigit() or status[0] == reply[:1], "code and enhanced code are of one class"


@pytest.mark.parametrize("kind", Kind)
def test_every_failure_has_a_reply(kind: Kind) -> None:
    assert LINE.fullmatch(replies.FAILURES[kind])


@pytest.mark.parametrize("kind", [Kind.INTERNAL, Kind.UNAVAILABLE, Kind.STORAGE_FULL, Kind.EXISTS])
def test_our_own_trouble_is_never_permanent(kind: Kind) -> None:
    assert replies.FAILURES[kind].startswith(b"4")


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_of_data_has_a_permanent_reply(fault: Fault) -> None:
    assert LINE.fullmatch(replies.DATA_FAULTS[fault])
    assert replies.DATA_FAULTS[fault].startswith(b"5")


@pytest.mark.parametrize("wrong", Wrong)
def test_every_syntax_error_has_a_reply(wrong: Wrong) -> None:
    assert replies.misunderstood(GrammarError(wrong, "because")).endswith(b" because\r\n")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (
            replies.too_many_from_address(),
            "421 4.3.2 Pillarbox Too many connections from your IP address - try later",
        ),
        (replies.RELAYING_DENIED, "550 5.7.1 Relaying not allowed! Bad sender IP address"),
        (replies.MESSAGE_TOO_LARGE, "552 5.2.3 Message too large - contact your administrator"),
        (replies.FAILURES[Kind.STORAGE_FULL], "452 4.3.1 Insufficient system storage"),
        (replies.FAILURES[Kind.OVER_QUOTA], "452 4.2.2 Mailbox full"),
    ],
)
def test_known_texts(reply: bytes, text: str) -> None:
    assert reply == text.encode() + b"\r\n"


@pytest.mark.parametrize(
    "reply", [replies.too_many(), replies.not_allowed(), replies.timed_out("h"), replies.shutting_down("h")]
)
def test_replies_that_end_a_session(reply: bytes) -> None:
    assert LINE.fullmatch(reply)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No thanks", b"550 5.7.1 No thanks\r\n"),
        ("two\r\n250 lines", b"550 5.7.1 two 250 lines\r\n"),
        ("gr\u00fc\u00dfe\0", b"550 5.7.1 gr??e\r\n"),
        ("", b"550 5.7.1 Refused\r\n"),
    ],
)
def test_text_of_a_script_is_made_fit_for_a_line(text: str, said: bytes) -> None:
    assert replies.refused(Refuse(550, "5.7.1", text)) == said


def test_long_text_of_a_script_is_cut() -> None:
    assert len(replies.refused(Refuse(550, "5.7.1", "x" * 5000))) <= 512


def test_several_lines() -> None:
    reply = replies.extended_hello("h", "[192.0.2.1]", ["PIPELINING", "HELP"])
    assert reply == b"250-h greets [192.0.2.1]\r\n250-PIPELINING\r\n250 HELP\r\n"
    assert replies.challenge(b"") == b"334 \r\n"
