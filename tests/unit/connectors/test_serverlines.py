# SPDX-License-Identifier: MIT
"""A relay's servers as lines of text."""

from __future__ import annotations

import pytest

from mailserver.connectors.serverlines import ServerInput, format_servers, parse_servers
from mailserver.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", []),
        ("smtp.example.net", [ServerInput("smtp.example.net", 25, "starttls")]),
        ("  smtp.example.net:587  \n\n", [ServerInput("smtp.example.net", 587, "starttls")]),
        ("a:465 TLS\nb", [ServerInput("a", 465, "tls"), ServerInput("b", 25, "starttls")]),
        ("[2001:db8::1]:2525 none", [ServerInput("[2001:db8::1]", 2525, "none")]),
    ],
)
def test_servers_are_read_and_written_back(text: str, servers: list[ServerInput]) -> None:
    assert parse_servers(text, "starttls") == servers
    assert parse_servers(format_servers(servers, "starttls"), "starttls") == servers


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\n:25", "Line 2: write a server's name"),
        ("a:port", "Line 1: write a server's name"),
        ("a:587 ssl", "Line 1: 'ssl' is not one of none, opportunistic"),
        ("a b c", "Line 1: write a server's name"),
        ("2001:db8::1", "Line 1: write a server's name"),
    ],
)
def test_a_wrong_line_is_named(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_servers(text, "tls")
    assert complaint in str(refused.value)
