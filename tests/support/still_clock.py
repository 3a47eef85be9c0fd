# SPDX-License-Identifier: MIT
"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class StillClock:
    """Give it to `mailserver.clock.set_source`; the fixture `still_clock` does."""

    def __init__(self, moment: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **span: float) -> datetime:
        """Move by a timedelta's keywords, such as `minutes=5`; the new moment."""
        self.moment += timedelta(**span)
        return self.moment
