# SPDX-License-Identifier: MIT
"""Which messages ask for a connection at once."""

from __future__ import annotations

import pytest

from mailserver.config.catalog import URGENT_HEADERS
from mailserver.errors import InvalidInput
from mailserver.outqueue.urgent import is_urgent

HEADERS = [
    (b"X-Priority: 1\r\n\r\n", True),
    (b"X-Priority: 1 (Highest)\r\n\r\n", True),
    (b"x-priority: 10\r\n\r\n", True),  # a part of the text is enough, as the spec warns
    (b"X-Priority: 3\r\n\r\n", False),
    (b"X-MSMail-Priority: High\r\n\r\n", True),
    (b"X-MSMail-Priority: high\r\n\r\n", False),  # upper and lower case count
    (b"Importance: high\r\n\r\n", True),
    (b"Priority: urgent\r\n\r\n", True),
    (b"Priority:\r\n very urgent\r\n\r\n", True),
    (b"Subject: X-Priority: 1\r\n\r\nPriority: urgent", False),
    (b"", False),
]


@pytest.mark.parametrize(("header", "urgent"), HEADERS)
def test_usual_headers(header: bytes, urgent: bool) -> None:
    assert is_urgent(header, URGENT_HEADERS.default) is urgent


def test_no_rules_no_hurry() -> None:
    assert not is_urgent(b"X-Priority: 1\r\n\r\n", "\nnonsense\n:\n")


def test_lines_of_another_form_are_refused() -> None:
    assert URGENT_HEADERS.parse("X-Wow: yes\n\nPriority: urgent") == "X-Wow: yes\n\nPriority: urgent"
    with pytest.raises(InvalidInput, match="line 2 is not of the form"):
        URGENT_HEADERS.parse("X-Wow: yes\nPriority")
