# SPDX-License-Identifier: MIT
"""Leases: one holder at a time, who keeps, loses and gives them back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mailserver.leases import services as leases
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
ELSEWHERE = "another-machine:1:2:3"


def test_only_one_holder(still_clock: StillClock) -> None:
    me = leases.make_owner()
    assert leases.acquire("run", me, 30)
    assert leases.acquire("run", me, 30)
    assert not leases.acquire("run", ELSEWHERE, 30)
    assert leases.find_holder("run") == me
    assert leases.acquire("another", ELSEWHERE, 30)


def test_lease_that_ran_out_goes_to_the_next(still_clock: StillClock) -> None:
    assert leases.acquire("run", ELSEWHERE, 30)
    still_clock.advance(seconds=20)
    assert leases.extend("run", ELSEWHERE, 30)
    still_clock.advance(seconds=29)
    assert not leases.acquire("run", "b:1:2:3", 30)
    still_clock.advance(seconds=2)
    assert leases.find_holder("run") is None
    assert leases.acquire("run", "b:1:2:3", 30)
    assert not leases.extend("run", ELSEWHERE, 30)
    leases.release("run", ELSEWHERE)
    assert leases.find_holder("run") == "b:1:2:3"


def test_given_back(still_clock: StillClock) -> None:
    assert leases.acquire("run", ELSEWHERE, 30)
    leases.release("run", ELSEWHERE)
    assert leases.acquire("run", leases.make_owner(), 30)


def test_killed_process_of_this_machine_holds_nothing(still_clock: StillClock) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        hold_lease_of(child)
    assert leases.acquire("run", leases.make_owner(), 30)


def hold_lease_of(child: subprocess.Popen[bytes]) -> None:
    owner = f"{leases.this_place()}:{child.pid}:{leases.process_start(child.pid)}:x"
    assert leases.acquire("run", owner, 3600)
    assert not leases.acquire("run", leases.make_owner(), 30)
    child.kill()


def test_process_number_that_came_round_again_is_another_process(still_clock: StillClock) -> None:
    owner = f"{leases.this_place()}:{os.getpid()}:1:x"
    assert leases.is_dead(owner)
    assert not leases.is_dead(leases.make_owner())
