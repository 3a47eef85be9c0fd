# SPDX-License-Identifier: MIT
"""What the person at the terminal reads."""

from __future__ import annotations

import pytest

from mailserver.config.snapshot import Binding
from protocols.supervisor.table import Line, format_commands, format_credentials, format_table, reachable_address

CREDENTIALS = {"login": "postmaster", "address": "postmaster@example.test", "password": "abcd-efgh"}
SMTP = Line("SMTP", "smtp", "none", Binding("127.0.0.1", 2025))
SMTPS = Line("SMTPS", "smtp", "ssl", Binding("127.0.0.1", 2465))
POP3 = Line("POP3", "pop3", "tls", Binding("::", 2110), "port 2110 is already used by another program")


def test_table_lines_up_and_names_what_fails() -> None:
    assert format_table([SMTP, SMTPS, POP3], Binding("0.0.0.0", 8000), "").splitlines() == [
        "  Service      Listens on              Encryption",
        "  -----------  ----------------------  ------------------",
        "  SMTP         127.0.0.1:2025          clear, TLS offered",
        "  SMTPS        127.0.0.1:2465          TLS only",
        "  POP3         [::]:2110               TLS required        NOT LISTENING: port 2110 is already used by another"
        " program",
        "  Web console  http://127.0.0.1:8000/  none",
    ]


@pytest.mark.parametrize(
    ("binding", "address"),
    [
        (Binding("0.0.0.0", 25), "127.0.0.1:25"),
        (Binding("::", 25), "[::1]:25"),
        (Binding("192.0.2.1", 25), "192.0.2.1:25"),
    ],
)
def test_address_for_a_program_on_this_machine(binding: Binding, address: str) -> None:
    assert reachable_address(binding) == address


def test_password_is_in_the_first_start_only() -> None:
    assert "abcd-efgh" in format_credentials(CREDENTIALS)
    first = format_commands([SMTP], "python manage.py", "/data", CREDENTIALS)
    later = format_commands([SMTP], "python manage.py", "/data", None)
    assert "postmaster@example.test" in first
    assert "NAME@DOMAIN" in later


def test_commands_use_what_listens() -> None:
    text = format_commands([SMTPS, SMTP, POP3], "python manage.py", "/a b", CREDENTIALS)
    assert "smtp://127.0.0.1:2025" in text
    assert "pop3://" not in text
    assert "PILLARBOX_DATA='/a b' python manage.py adduser" in text
