# SPDX-License-Identifier: MIT
"""A password that was right a moment ago is not checked the long way."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from mailserver.errors import MailError
from mailserver.users.authentication import LoggedInUser
from mailserver.values import Client, Protocol, UserId
from protocols.net.offload import DirectOffload
from protocols.sasl.login import Login
from tests.support.fakes import Account, TableAuthenticator

ALICE = LoggedInUser(UserId(1), "alice", "alice@example.test")
CLIENT = Client(Protocol.POP3, service_id=1, session=1, address="192.0.2.1", port=1)


@dataclass
class Remembering(TableAuthenticator):
    """Remembers as the database's does, and counts what took long."""

    known: set[tuple[str, str]] = field(default_factory=set)
    checks: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.add(Account(ALICE, "secret"))

    def find_remembered(self, login: str, password: str, client: Client) -> LoggedInUser | None:
        return ALICE if (login, password) in self.known else None

    def check_password(self, login: str, password: str, client: Client) -> LoggedInUser:
        self.checks += 1
        user = super().check_password(login, password, client)
        self.known.add((login, password))
        return user


async def test_the_long_way_is_gone_once() -> None:
    authenticator = Remembering()
    login = Login(authenticator, DirectOffload(), CLIENT, "mail.example.test")
    assert await login.by_password("alice", "secret") == ALICE
    assert await login.by_password("alice", "secret") == ALICE
    assert authenticator.checks == 1


async def test_what_is_not_remembered_is_not_refused_for_that() -> None:
    authenticator = Remembering()
    login = Login(authenticator, DirectOffload(), CLIENT, "mail.example.test")
    for _ in range(2):
        with pytest.raises(MailError):
            await login.by_password("alice", "wrong")
    assert authenticator.checks == 2
