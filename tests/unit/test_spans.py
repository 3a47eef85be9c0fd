# SPDX-License-Identifier: MIT
"""Spans of time in words."""

from __future__ import annotations

import pytest

from mailserver.spans import format_span

SPANS = [
    (0, "0 seconds"), (1, "1 second"), (30, "30 seconds"), (60, "1 minute"), (90, "90 seconds"), (5400, "90 minutes"),
    (3600, "1 hour"), (14400, "4 hours"), (259200, "3 days"), (7201, "2 hours"),
    (86400 * 3 + 17, "3 days"), (-5, "0 seconds"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "words"), SPANS)
def test_spans(seconds: float, words: str) -> None:
    assert format_span(seconds) == words
