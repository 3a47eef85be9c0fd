# SPDX-License-Identifier: MIT
"""An office and a POP3 mailbox that behaves as badly as a test wants: Collectors for it, rules, and what came."""

from __future__ import annotations

from typing import Any

from mailserver.connectors.models import DownloadRule
from mailserver.connectors.values import CollectorSettings, Credentials, LoginMethod, Routing
from tests.support.collecting import CollectingOffice, make_message
from tests.support.evil_pop3 import PASSWORD, EvilPop3, Tricks

LOGIN = Credentials(LoginMethod.AUTOMATIC, "office", PASSWORD)
CATCH_ALL = Routing(
    method="headers", accepted_domains="example.test", errors_action="message-to", errors_to="postmaster"
)


def collector(
    office: CollectingOffice, evil: EvilPop3, routing: Routing | None = None, **changes: Any
) -> CollectorSettings:
    return office.collector(evil.port, routing, **{"credentials": LOGIN, **changes})


def mailbox(count: int = 5, **tricks: Any) -> EvilPop3:
    return EvilPop3([make_message(number) for number in range(1, count + 1)], Tricks(**tricks))


def numbers(office: CollectingOffice, user: str = "alice") -> list[int]:
    return sorted(int(subject.split()[1]) for subject in office.subjects(user) if subject.startswith("Message "))


def rule(action: str, *conditions: tuple[str, str, str], targets: str = "", **fields: Any) -> None:
    stored = [{"kind": kind, "field": field, "value": value} for kind, field, value in conditions]
    DownloadRule.objects.create(name=f"rule {action}", action=action, conditions=stored, targets=targets, **fields)
