# SPDX-License-Identifier: MIT
"""Who may come in: both access lists, and the limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import AccessRule, Service
from mailserver.values import Protocol
from protocols.net.admission import Occupancy, Refusal, Surrounding, decide

FOREIGN = "192.0.2.7"
SERVICE = Service(1, ServiceKind.SMTP, "SMTP", Protocol.SMTP, max_sessions=3, max_sessions_per_address=2)
ALLOW_ALL = AccessRule(allow=True, matches="any")
BLOCK_ALL = AccessRule(allow=False, matches="any")


@pytest.mark.parametrize(
    ("own", "everywhere", "uses_global", "allowed"),
    [
        ((), (), False, True),
        ((BLOCK_ALL,), (), False, False),
        ((), (BLOCK_ALL,), False, True),
        ((), (BLOCK_ALL,), True, False),
        ((ALLOW_ALL,), (BLOCK_ALL,), True, False),
        ((BLOCK_ALL,), (ALLOW_ALL,), True, False),
    ],
)
def test_both_lists_must_allow_where_the_global_one_is_used(
    own: tuple[AccessRule, ...], everywhere: tuple[AccessRule, ...], uses_global: bool, allowed: bool
) -> None:
    service = replace(SERVICE, access=own, use_global_access=uses_global)
    assert decide(service, everywhere, FOREIGN, Surrounding()).allow is allowed


def test_limits_of_the_service_and_of_one_address() -> None:
    occupancy = Occupancy()
    for _ in range(2):
        assert occupancy.find_refusal(SERVICE, FOREIGN) is None
        occupancy.enter(SERVICE, FOREIGN)
    assert occupancy.find_refusal(SERVICE, FOREIGN) is Refusal.TOO_MANY_FROM_ADDRESS
    assert occupancy.find_refusal(SERVICE, "192.0.2.8") is None
    occupancy.enter(SERVICE, "192.0.2.8")
    assert occupancy.find_refusal(SERVICE, "192.0.2.9") is Refusal.TOO_MANY
    occupancy.leave(SERVICE, FOREIGN)
    assert occupancy.find_refusal(SERVICE, FOREIGN) is None


@pytest.mark.parametrize("here", ["127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_has_no_limit_of_one_address(here: str) -> None:
    occupancy = Occupancy()
    for _ in range(2):
        occupancy.enter(SERVICE, here)
    assert occupancy.find_refusal(SERVICE, here) is None
    occupancy.enter(SERVICE, here)
    assert occupancy.find_refusal(SERVICE, here) is Refusal.TOO_MANY


def test_no_limit_is_zero() -> None:
    unlimited = replace(SERVICE, max_sessions=0, max_sessions_per_address=0)
    occupancy = Occupancy()
    for _ in range(1000):
        occupancy.enter(unlimited, FOREIGN)
    assert occupancy.find_refusal(unlimited, FOREIGN) is None


def test_nothing_is_kept_of_an_address_that_left() -> None:
    occupancy = Occupancy()
    for number in range(200):
        occupancy.enter(SERVICE, f"192.0.2.{number}")
        occupancy.leave(SERVICE, f"192.0.2.{number}")
    assert not occupancy._of_address
