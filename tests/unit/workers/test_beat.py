# SPDX-License-Identifier: MIT
"""The timetable: nights in the office's time zone, also when its clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from workers.beat import next_hour, next_night

LONDON, NEW_YORK = ZoneInfo("Europe/London"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        (LONDON, datetime(2026, 1, 10, 12, 0, tzinfo=UTC), datetime(2026, 1, 11, 3, 20, tzinfo=UTC)),
        (LONDON, datetime(2026, 1, 10, 3, 19, tzinfo=UTC), datetime(2026, 1, 10, 3, 20, tzinfo=UTC)),
        (LONDON, datetime(2026, 1, 10, 3, 20, tzinfo=UTC), datetime(2026, 1, 11, 3, 20, tzinfo=UTC)),
        (LONDON, datetime(2026, 3, 28, 12, 0, tzinfo=UTC), datetime(2026, 3, 29, 2, 20, tzinfo=UTC)),
        (LONDON, datetime(2026, 10, 24, 12, 0, tzinfo=UTC), datetime(2026, 10, 25, 3, 20, tzinfo=UTC)),
        (NEW_YORK, datetime(2026, 1, 10, 3, 0, tzinfo=UTC), datetime(2026, 1, 10, 8, 20, tzinfo=UTC)),
    ],
)
def test_next_night(zone: ZoneInfo, now: datetime, expected: datetime) -> None:
    assert next_night(now, zone) == expected


def test_next_hour() -> None:
    assert next_hour(datetime(2026, 1, 1, 5, 10, tzinfo=UTC), LONDON) == datetime(2026, 1, 1, 6, 10, tzinfo=UTC)
