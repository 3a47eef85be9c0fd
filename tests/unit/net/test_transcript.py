# SPDX-License-Identifier: MIT
"""The session log: what it says, and that a peer cannot forge a line of it."""

from __future__ import annotations

import pytest

from mailserver import logs
from mailserver.values import Client, Protocol
from protocols.net.transcript import MAX_LINE_LENGTH, SILENT, FileTranscript

CLIENT = Client(Protocol.POP3, 4, 17, "192.0.2.7", 40000)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    monkeypatch.setattr(logs, "session", lambda name, text: lines.append((name, text)))
    return lines


def test_names_session_and_direction(written: list[tuple[str, str]]) -> None:
    transcript = FileTranscript(CLIENT, "POP3")
    transcript.received(b"USER anna\r\n")
    transcript.sent(b"+OK one\r\n+OK two\r\n")
    assert written == [
        ("pop3svr", "(17) - POP3: connection from 192.0.2.7 port 40000"),
        ("pop3svr", "(17) < USER anna"),
        ("pop3svr", "(17) > +OK one"),
        ("pop3svr", "(17) > +OK two"),
    ]


def test_control_characters_cannot_forge_a_line(written: list[tuple[str, str]]) -> None:
    FileTranscript(CLIENT, "POP3").received(b"USER a\n(1) < forged\x1b[2J\0\r\n")
    assert written[-1] == ("pop3svr", "(17) < USER a\\n(1) < forged\\x1b[2J\\x00")


def test_long_and_undecodable_lines_are_cut_and_shown(written: list[tuple[str, str]]) -> None:
    FileTranscript(CLIENT, "POP3").received(b"\xff" + b"x" * 5000)
    text = written[-1][1]
    assert text.startswith("(17) < \\xff" + "x" * 100)
    assert len(text) < MAX_LINE_LENGTH + 20


def test_silent_one_writes_nothing(written: list[tuple[str, str]]) -> None:
    SILENT.received(b"USER anna")
    SILENT.sent(b"+OK")
    SILENT.note("TLS")
    assert written == []
    assert not SILENT.enabled
