# SPDX-License-Identifier: MIT
"""Limits that change while they are in use."""

from __future__ import annotations

import asyncio

from protocols.net.bandwidth import UNLIMITED, Bucket, Pools

MUCH = 50_000_000


async def test_pool_that_gets_a_limit_owes_nothing_for_the_time_before() -> None:
    pools = Pools()
    meter = pools.meter(-3)
    await meter.spend(MUCH)
    pools.set_rates({3: 1000})
    async with asyncio.timeout(5):
        await meter.spend(1)


async def test_pool_whose_limit_is_taken_away_lets_everything_pass() -> None:
    pools = Pools()
    pools.set_rates({3: 1000})
    meter = pools.meter(-3)
    await meter.spend(MUCH)
    waiting = asyncio.ensure_future(meter.spend(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    pools.set_rates({})
    async with asyncio.timeout(5):
        await waiting


async def test_sharers_of_a_pool_have_one_meter() -> None:
    pools = Pools()
    assert pools.meter(0) is UNLIMITED
    assert pools.meter(-1) is pools.meter(-1)
    assert pools.meter(1000) is not pools.meter(1000)
    assert isinstance(pools.meter(1000), Bucket)
