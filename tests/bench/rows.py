# SPDX-License-Identifier: MIT
"""One line of the bench's report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Row:
    """One line of the report; figures of the rounds."""

    what: str
    goal: str
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    unit: str = "/s"

    def of(self, who: str) -> list[float]:
        """The figures of `ours` or of the `peer`."""
        return self.ours if who == "ours" else self.peer

    def line(self) -> str:
        ours = _figure(self.ours, self.unit)
        peer = _figure(self.peer, self.unit)
        both = statistics.median(self.ours) / statistics.median(self.peer) if self.ours and self.peer else 0.0
        return f"{self.what:<46} {ours:>11} {peer:>11} {f'{both:.2f} x' if both else '':>8}   {self.goal}"


def _figure(values: Sequence[float], unit: str) -> str:
    if not values:
        return ""
    digits = {" s": 1, " ms each": 2}.get(unit, 0)
    return f"{statistics.median(values):,.{digits}f}{unit}"
