# SPDX-License-Identifier: MIT
"""Collectors, and the small office whose mail they fetch, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mailserver.config.snapshot import Directory, Snapshot, User
from mailserver.connectors.values import (
    CollectMethod,
    CollectorSettings,
    Credentials,
    LoginMethod,
    RemoteServer,
    Routing,
)
from mailserver.values import Address, MailboxId, UserId

DOMAIN = "example.test"


def make_collector(routing: Routing | None = None, **changes: Any) -> CollectorSettings:
    """A POP3 collector that gives everything to alice, unless told otherwise."""
    values: dict[str, Any] = {
        "id": 1,
        "name": "Provider mailbox",
        "method": CollectMethod.POP3,
        "enabled": True,
        "priority": 10,
        "server": RemoteServer("127.0.0.1", 110),
        "credentials": Credentials(LoginMethod.PLAIN, "office", "secret"),
        "routing": routing or Routing(target="alice"),
    }
    return CollectorSettings(**{**values, **changes})


def make_user(number: int, name: str, full_name: str = "", domain: str = DOMAIN, **changes: Any) -> User:
    """A user whose Inbox has the number of the user."""
    address = Address(name, domain)
    return User(UserId(number), name, address, MailboxId(number), full_name=full_name, **changes)


def make_office(*more: User, **settings: Any) -> Snapshot:
    """postmaster, Alice and Bob at example.test, and whoever else is given."""
    users = (
        make_user(1, "postmaster", admin=True),
        make_user(2, "alice", "Alice Example"),
        make_user(3, "bob", "Bob Example"),
        *more,
    )
    domains = dict.fromkeys((DOMAIN, *(user.address.domain for user in users)))
    return Snapshot(directory=Directory(domains, users), settings=settings, hostname="mail.example.test")


@dataclass(slots=True)
class NotedLog:
    """A TaskLog that keeps everything."""

    expected: int = 0
    done: int = 0
    done_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def expect(self, messages: int, size_bytes: int = 0) -> None:
        self.expected = messages

    def advance(self, messages: int = 1, size_bytes: int = 0) -> None:
        self.done += messages
        self.done_bytes += size_bytes

    def note(self, text: str) -> None:
        self.notes.append(text)

    def wire(self, line: str) -> None:
        self.lines.append(line)
