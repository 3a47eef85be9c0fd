# SPDX-License-Identifier: MIT
"""The one place that tells the time, so that a test can move it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

_source: Callable[[], datetime] | None = None


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _source() if _source is not None else datetime.now(UTC)


def set_source(source: Callable[[], datetime] | None) -> None:
    """Replace the clock (tests), or give the real one back with None."""
    global _source
    _source = source


def monotonic() -> float:
    """Seconds for measuring spans; never goes back."""
    return time.monotonic()
