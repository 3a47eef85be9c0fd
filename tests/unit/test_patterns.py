# SPDX-License-Identifier: MIT
"""Regular expressions of administrators: what they find, and that none takes for ever."""

from __future__ import annotations

import pytest

from mailserver import patterns
from mailserver.patterns import BadPattern, Pattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^\[News\]", "[News] of May", True),
        (r"^\[News\]", "Re: [News]", False),
        (r"(?i)invoice \d{4}", "Your INVOICE 2026", True),
        (r"(\w)\1", "hello", True),
        (r"^(?!internal)", "internal", False),
        ("", "", True),
        (r"(\S+)@(\S+)\.example$", "ann@mail.example", True),
    ],
)
def test_what_is_found(pattern: str, text: str, found: bool) -> None:
    assert Pattern(pattern).is_in(text) is found


@pytest.mark.parametrize("pattern", ["(", "[a", "a{99999999999999999999}", "*a"])
def test_what_cannot_be_read(pattern: str) -> None:
    with pytest.raises(BadPattern, match="cannot be read"):
        Pattern(pattern)


@pytest.mark.parametrize("pattern", ["((a{100}){100}){100}", "(?:.{1000}){1000}", "((((((a{9}){9}){9}){9}){9}){9}){9}"])
def test_what_would_fill_the_memory_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern, match="repeats too much"):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "00000000-0000-0000-0000-000000000000"),
        (r"^(.{0,500}x){2}.{0,500}$", "axbx"),
        (r"([(]{90}|\({90}|a){90}" * 3, "a" * 270),
        ("(" * 20 + "a{2}" + ")" * 20, "aa"),
        ("a{65000}|b", "b"),
    ],
)
def test_what_is_counted_in_reason_is_taken(pattern: str, text: str) -> None:
    assert Pattern(pattern).is_in(text)


@pytest.mark.parametrize("pattern", [r"^(a|a)*$", r"^(x|xx|x)*y$", r"^(.*?,){25}P"])
def test_what_takes_for_ever_is_refused(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SEARCH_SECONDS", 0.05)
    with pytest.raises(BadPattern, match="takes too long"):
        Pattern(pattern)


def test_what_takes_for_ever_with_a_text_does_not_fit_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patterns, "SEARCH_SECONDS", 0.05)
    pattern = Pattern(r"^([b-y]-|[b-y]-)*$")
    nasty = "k-" * 60 + "!"
    assert [pattern.is_in(nasty) for _ in range(3)] == [False] * 3
    assert "takes too long" in caplog.text
    assert not pattern.is_in("k-k-")
    monkeypatch.setattr("mailserver.patterns.time.monotonic", lambda: float("inf"))
    assert pattern.is_in("k-k-")
