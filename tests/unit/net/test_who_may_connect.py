# SPDX-License-Identifier: MIT
"""An SMTP service's access list says who may send to others; the other lists say who may connect."""

from __future__ import annotations

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import AccessRule, Service
from mailserver.values import Protocol
from protocols.net.admission import Surrounding, decide, may_connect

LOCAL_ONLY = (AccessRule(True, "local", allow_unauthenticated=True),)
STRANGER, NEIGHBOUR = "192.0.2.7", "127.0.0.1"


@pytest.mark.parametrize(
    ("protocol", "own", "shared", "address", "connects", "listed"),
    [
        (Protocol.SMTP, (), (), STRANGER, True, True),
        (Protocol.SMTP, LOCAL_ONLY, (), NEIGHBOUR, True, True),
        (Protocol.SMTP, LOCAL_ONLY, (), STRANGER, True, False),
        (Protocol.SMTP, (), LOCAL_ONLY, STRANGER, False, False),
        (Protocol.SMTP, LOCAL_ONLY, LOCAL_ONLY, STRANGER, False, False),
        (Protocol.POP3, LOCAL_ONLY, (), STRANGER, False, False),
        (Protocol.POP3, LOCAL_ONLY, (), NEIGHBOUR, True, True),
    ],
)
def test_who_may_connect(
    protocol: Protocol,
    own: tuple[AccessRule, ...],
    shared: tuple[AccessRule, ...],
    address: str,
    connects: bool,
    listed: bool,
) -> None:
    service = Service(1, ServiceKind.SMTP, "s", protocol, access=own, use_global_access=bool(shared))
    decision = decide(service, shared, address, Surrounding())
    assert decision.allow == listed
    assert may_connect(service, shared, address, Surrounding(), decision) == connects
