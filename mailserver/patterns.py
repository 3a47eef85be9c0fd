# SPDX-License-Identifier: MIT
"""Regular expressions that an administrator wrote: none of them takes for ever. Pure.

Python's own `re` cannot be interrupted, and there are short patterns that would take it years. The library `regex`
reads the same language and looks at the clock (`docs/decisions/patterns-with-a-clock.md`).
"""

from __future__ import annotations

import logging
import re
import time

import regex

log = logging.getLogger("pillarbox.patterns")

SEARCH_SECONDS = 0.2
"""A pattern that behaves needs thousands of times less, also in a long header."""
MOST_TIMEOUTS = 3
REST_SECONDS = 600.0
"""For so long a pattern is not tried that ran out of time so often: a queue has thousands of messages."""
TRIED_WITH = 100
"""As many of one character as make every pattern of the dangerous kind run out of time."""
TRIED_CHARACTERS = 12
MOST_PIECES = 100_000
"""The library writes out what is counted, group within group, before it looks at any clock: so many pieces take some
40 MB for a moment, and `((a{100}){100}){100}` has ten times as many."""


class BadPattern(ValueError):
    """It cannot be read, or takes too long; the text says which."""


class Pattern:
    """A pattern that was read. Raises BadPattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._timeouts = 0
        self._rests_until = 0.0
        if _count_pieces(text) > MOST_PIECES:
            raise BadPattern("repeats too much: a count in another count makes it very long")
        try:
            self._compiled = regex.compile(text)
        except (regex.error, OverflowError, RecursionError) as error:
            raise BadPattern(f"cannot be read: {error}") from None
        self._try()

    def is_in(self, text: str) -> bool:
        """Whether it fits some part of the text; if that takes too long, it does not."""
        if self._rests_until > time.monotonic():
            return False
        try:
            found = self._compiled.search(text, timeout=SEARCH_SECONDS)
        except TimeoutError:
            self._note_timeout()
            return False
        return found is not None

    def _note_timeout(self) -> None:
        self._timeouts += 1
        if self._timeouts >= MOST_TIMEOUTS:
            self._timeouts, self._rests_until = 0, time.monotonic() + REST_SECONDS
            log.error("the regular expression %s takes too long, and counts as not fitting for a while", self._text)

    def _try(self) -> None:
        """With what makes such patterns slow: many of a character that they know, and an end that does not fit."""
        known = dict.fromkeys(["a", "0", " ", *self._text])
        end = "!" + "".join(known) + "\n!"
        for character in list(known)[:TRIED_CHARACTERS]:
            try:
                self._compiled.search(character * TRIED_WITH + end, timeout=SEARCH_SECONDS)
            except TimeoutError:
                raise BadPattern("takes too long with some texts; write it without a repetition in another") from None


_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]|\{(\d{1,9})(?:,\d*)?\}|.", re.DOTALL)


def _count_pieces(text: str) -> int:
    """How long the pattern is once everything counted is written out; roughly, for one that cannot be read."""
    groups, last = [0], 0
    for piece in _PIECE.finditer(text):
        if piece[0] == "(":
            groups.append(0)
            continue
        if piece[1]:
            last *= max(int(piece[1]), 1)
            groups[-1] += last
        elif piece[0] != ")":
            last = 1
            groups[-1] += 1
        elif len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
    return sum(groups)
