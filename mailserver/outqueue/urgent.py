# SPDX-License-Identifier: MIT
"""Urgent messages: a header field that asks for a connection at once. Spec senders 8.4, connectors 3.6. Pure."""

from __future__ import annotations

from mailserver.mime.decoded_fields import decode_fields


def find_rules(text: str) -> list[tuple[str, str]]:
    """Name and text of each line `Header: text`; other lines are passed over."""
    rules = []
    for line in text.splitlines():
        name, colon, wanted = (part.strip() for part in line.partition(":"))
        if name and colon and wanted:
            rules.append((name.lower(), wanted))
    return rules


def check_rules(text: str) -> str:
    """What is wrong with the lines, for whoever wrote them; empty when nothing is."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not find_rules(line):
            return f'line {number} is not of the form "Header: text"'
    return ""


def is_urgent(header: bytes, rules: str) -> bool:
    """Whether one of the fields is there and has the text somewhere in it.

    Upper and lower case count, and a part of a word is enough: `X-Priority: 1` fits `1 (Highest)`, and `10` too.
    """
    wanted = find_rules(rules)
    if not wanted or not header:
        return False
    fields = decode_fields(header)
    return any(name == field and text in value for name, text in wanted for field, value in fields)
