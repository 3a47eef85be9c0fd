# SPDX-License-Identifier: MIT
"""Regular expressions that an administrator wrote: none of them takes for ever. Pure.

Python's own `re` cannot be interrupted, and there are short patterns that would take it years. The library `regex`
reads the same language and looks at the clock (`docs/decisions/patterns-with-a-clock.md`).
"""

from __future__ import annotations

import logging
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


class BadPattern(ValueError):
    """It cannot be read, or takes too long; the text says which."""


class Pattern:
    """A pattern that was read. Raises BadPattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._timeouts = 0
        self._rests_until = 0.0
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
