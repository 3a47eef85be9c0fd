# SPDX-License-Identifier: MIT
"""Whether a client may come in: access rules first, then how many are there already.

Spec services 1.4, 1.5, and 1.7 item 6 (the order). Counts are those of this process; limits for one address never
apply to this machine itself (design section 3).
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass

from mailserver.config.snapshot import AccessRule, Service
from mailserver.security.networks import LOOPBACK, Decision, IpAddress, Network, evaluate, evaluate_both, parse_address
from mailserver.values import Protocol


class Refusal(enum.Enum):
    """Why a client is sent away; each protocol has its words for it in `replies.py`."""

    NOT_ALLOWED = "not allowed by the access rules"
    TOO_MANY = "too many sessions"
    TOO_MANY_FROM_ADDRESS = "too many sessions of this address"


@dataclass(frozen=True, slots=True)
class Surrounding:
    """What the access rules call local networks and routers, as this machine is connected now."""

    networks: tuple[Network, ...] = LOOPBACK
    routers: tuple[IpAddress, ...] = ()


def decide(service: Service, global_access: tuple[AccessRule, ...], address: str, surrounding: Surrounding) -> Decision:
    """What the service's access list says, together with the global one where the service uses it."""
    if service.use_global_access:
        return evaluate_both(service.access, global_access, address, surrounding.networks, surrounding.routers)
    return evaluate(service.access, address, surrounding.networks, surrounding.routers)


def may_connect(
    service: Service, global_access: tuple[AccessRule, ...], address: str, surrounding: Surrounding, decision: Decision
) -> bool:
    """Whether a client that the lists judged so may come in.

    An SMTP service's own list says who may send to others, not who may connect: mail for users here comes from
    anywhere (spec smtp-server 2.1, item 5). The global list, where the service uses it, keeps out of SMTP as well.
    """
    if decision.allow or service.protocol is not Protocol.SMTP:
        return decision.allow
    if not service.use_global_access:
        return True
    return evaluate(global_access, address, surrounding.networks, surrounding.routers).allow


class Occupancy:
    """How many sessions each service has, in all and of each address."""

    def __init__(self) -> None:
        self._of_service: Counter[int] = Counter()
        self._of_address: Counter[tuple[int, str]] = Counter()

    def find_refusal(self, service: Service, address: str) -> Refusal | None:
        """Which limit one more session would break. 0 is no limit."""
        if 0 < service.max_sessions <= self._of_service[service.id]:
            return Refusal.TOO_MANY
        limit = service.max_sessions_per_address
        if 0 < limit <= self._of_address[service.id, address] and not parse_address(address).is_loopback:
            return Refusal.TOO_MANY_FROM_ADDRESS
        return None

    def enter(self, service: Service, address: str) -> None:
        self._of_service[service.id] += 1
        self._of_address[service.id, address] += 1

    def leave(self, service: Service, address: str) -> None:
        """Nothing is kept of an address that has no session left."""
        self._of_service[service.id] -= 1
        self._of_address[service.id, address] -= 1
        if self._of_address[service.id, address] <= 0:
            del self._of_address[service.id, address]
