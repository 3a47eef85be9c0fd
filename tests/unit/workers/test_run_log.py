# SPDX-License-Identifier: MIT
"""What a task tells of itself: figures over several rounds, notes, and a dialogue that cannot grow for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.run_log import MAX_NOTES, BoundedText, RunLog


def test_figures() -> None:
    log = RunLog()
    assert not log.touched
    log.expect(10, 1000)
    log.advance(2, 150)
    log.advance()
    progress = log.progress()
    assert (progress.expected, progress.done, progress.expected_bytes, progress.done_bytes) == (10, 3, 1000, 150)
    assert (log.changed, log.touched) == (False, True)
    log.begin_round()
    log.expect(5)
    assert log.progress().expected == 8


def test_more_than_was_expected() -> None:
    log = RunLog()
    log.expect(1)
    log.advance(4)
    assert log.progress().expected == 4


def test_notes_end_somewhere() -> None:
    log = RunLog()
    for number in range(MAX_NOTES + 5):
        log.note(f"note {number}")
    lines = log.progress().notes.split("\n")
    assert len(lines) == MAX_NOTES + 1
    assert "left out" in lines[-1]


def test_nothing_that_a_database_cannot_store() -> None:
    log = RunLog()
    log.wire("S: a\x00b\r\n")
    log.note("c\x00d")
    assert "\x00" not in log.progress().transcript + log.progress().notes


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\x00"), max_size=30), max_size=60))
def test_a_dialogue_keeps_its_beginning_and_its_end(lines: list[str]) -> None:
    text = BoundedText(head=100, tail=200)
    for line in lines:
        text.add(line)
    kept = text.text().split("\n") if lines else []
    gap = [place for place, line in enumerate(kept) if line.startswith("... ") and line.endswith(" left out here ...")]
    if sum(len(line) + 1 for line in lines) <= 100:
        assert kept == lines
    if gap:
        (place,) = gap
        missing = int(kept[place].split()[1])
        assert len(kept) - 1 + missing == len(lines)
        assert kept[:place] == lines[:place]
        assert kept[place + 1 :] == lines[len(lines) - (len(kept) - place - 1) :]
    else:
        assert kept == lines
    assert len(text.text()) <= 300 + 40
