# SPDX-License-Identifier: MIT
"""Limits on bytes per second: of one connection, or of a pool that many share (spec services 5).

A limit counts both directions. It is a token bucket of one second's capacity; connections of a pool are served in
the order in which they ask, one piece at a time, so that active ones get equal shares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

PIECE_BYTES = 16 * 1024
"""At most this is sent in one go under a limit, so that sharers of a pool alternate."""


class Meter:
    """No limit."""

    piece_bytes = 1 << 30

    async def spend(self, size: int) -> None:
        """Wait until `size` bytes may pass."""


UNLIMITED = Meter()


class Bucket(Meter):
    """A token bucket. The rate may be changed while connections wait; 0 lets everything pass."""

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._tokens = float(bytes_per_second)
        self._filled = asyncio.get_running_loop().time()
        self._turn = asyncio.Lock()

    @property
    def piece_bytes(self) -> int:  # type: ignore[override]
        return max(1, min(PIECE_BYTES, self._rate)) if self._rate else 1 << 30

    def set_rate(self, bytes_per_second: int) -> None:
        self._fill()
        self._rate = bytes_per_second

    async def spend(self, size: int) -> None:
        async with self._turn:
            while self._rate:
                self._fill()
                if self._tokens > 0:
                    self._tokens -= size
                    break
                await asyncio.sleep(min(1.0, (1 - self._tokens) / self._rate))

    def _fill(self) -> None:
        now = asyncio.get_running_loop().time()
        self._tokens = min(float(self._rate), self._tokens + (now - self._filled) * self._rate)
        self._filled = now


class Pools:
    """The installation's bandwidth pools, as one process sees them: each process has the whole allowance."""

    def __init__(self) -> None:
        self._rates: Mapping[int, int] = {}
        self._buckets: dict[int, Bucket] = {}

    def set_rates(self, rates: Mapping[int, int]) -> None:
        """Take over the snapshot's allowances; connections that wait feel it at once."""
        self._rates = rates
        for number, bucket in self._buckets.items():
            bucket.set_rate(rates.get(number, 0))

    def meter(self, bandwidth: int) -> Meter:
        """The meter for a limit as spec services 5.3 encodes it: 0 none, positive a rate, negative a pool."""
        if bandwidth == 0:
            return UNLIMITED
        if bandwidth > 0:
            return Bucket(bandwidth)
        number = -bandwidth
        if number not in self._buckets:
            self._buckets[number] = Bucket(self._rates.get(number, 0))
        return self._buckets[number]
