# SPDX-License-Identifier: MIT
"""DOS wildcards."""

from __future__ import annotations

import pytest

from mailserver.wildcards import matches

PAIRS = [
    ("*", "", True), ("*", "anything", True), ("?", "", False), ("?", "a", True), ("a?c", "ABC", True),
    ("*.example.org", "mail.example.org", True), ("*.example.org", "example.org", False),
    ("a.c", "abc", False), ("[ab]", "a", False), ("[ab]", "[ab]", True), ("a*c*e", "abcde", True), ("a*", "b", False),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "fits"), PAIRS)
def test_wildcards(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits
