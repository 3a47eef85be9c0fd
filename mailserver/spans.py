# SPDX-License-Identifier: MIT
"""Spans of time in words, for people. Pure."""

from __future__ import annotations

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def format_span(seconds: float) -> str:
    """In the largest unit of which there is a whole number, or else roughly: `90 minutes`, `3 days`, `4 hours`."""
    whole = max(round(seconds), 0)
    fitting = [(size, name) for size, name in _UNITS if whole >= size] or [_UNITS[-1]]
    size, name = next(((size, name) for size, name in fitting if whole % size == 0), fitting[0])
    if whole // size > 120:  # 7201 seconds are two hours.
        size, name = fitting[0]
    count = round(whole / size)
    return f"{count} {name}{'' if count == 1 else 's'}"
