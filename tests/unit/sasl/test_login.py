# SPDX-License-Identifier: MIT
"""One login by SASL against a table of users: who is let in, what is counted, and what nobody can tell."""

from __future__ import annotations

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind
from mailserver.values import Client, Protocol
from protocols.net.offload import DirectOffload
from protocols.sasl.login import Failure, Login, Outcome, Success, is_loopback, may_send_password
from protocols.sasl.mechanisms import Challenge
from tests.support.dialogue import hmac_md5, scram_final
from tests.support.fakes import TableAuthenticator, make_world


@pytest.fixture
def authenticator() -> TableAuthenticator:
    world = make_world(ServiceKind.POP3, Protocol.POP3)
    world.add_user("alice", "Secret-1", recoverable=True)
    world.add_user("bob", "Secret-2")
    world.add_user("carol", "Secret-3", recoverable=True, active=False)
    return world.authenticator


CLIENT = Client(Protocol.POP3, 1, 1, "192.0.2.7", 40000)


def _login(authenticator: TableAuthenticator) -> Login:
    return Login(authenticator, DirectOffload(), CLIENT, "mail.example.test")


async def _scram(authenticator: TableAuthenticator, name: str, password: str) -> tuple[Login, Outcome]:
    login = _login(authenticator)
    challenge = await login.begin("SCRAM-SHA-256", f"n,,n={name},r=abc".encode())
    assert isinstance(challenge, Challenge)
    return login, await login.answer(scram_final(password, f"n={name},r=abc", challenge.data.decode()).encode())


async def _cram(authenticator: TableAuthenticator, name: str, password: str) -> Outcome:
    login = _login(authenticator)
    challenge = await login.begin("CRAM-MD5", None)
    assert isinstance(challenge, Challenge)
    return await login.answer(f"{name} {hmac_md5(password, challenge.data.decode())}".encode())


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (b"\0alice\0Secret-1", "alice"),
        (b"\0ALICE@example.test\0Secret-1", "alice"),
        (b"alice\0alice@example.test\0Secret-1", "alice"),
        (b"alice@example.test\0alice\0Secret-1", "alice"),
    ],
)
async def test_plain(authenticator: TableAuthenticator, message: bytes, name: str) -> None:
    outcome = await _login(authenticator).begin("PLAIN", message)
    assert isinstance(outcome, Success)
    assert outcome.user.name == name
    assert authenticator.failures == []


async def test_nobody_acts_as_somebody_else(authenticator: TableAuthenticator) -> None:
    outcome = await _login(authenticator).begin("PLAIN", b"bob\0alice\0Secret-1")
    assert isinstance(outcome, Failure)
    assert outcome.error.kind is Kind.BAD_CREDENTIALS
    assert authenticator.failures == [("alice", "asked to act as somebody else", False)]


async def test_login_step_by_step(authenticator: TableAuthenticator) -> None:
    login = _login(authenticator)
    assert await login.begin("LOGIN", None) == Challenge(b"Username:")
    assert await login.answer(b"bob") == Challenge(b"Password:")
    assert isinstance(await login.answer(b"Secret-2"), Success)


async def test_malformed_tries_no_login(authenticator: TableAuthenticator) -> None:
    for mechanism, initial in (("PLAIN", b""), ("LOGIN", b""), ("SCRAM-SHA-256", b"x"), ("CRAM-MD5", b"")):
        outcome = await _login(authenticator).begin(mechanism, initial)
        assert isinstance(outcome, Failure)
        assert outcome.malformed
    assert authenticator.failures == []


async def test_scram(authenticator: TableAuthenticator) -> None:
    login, outcome = await _scram(authenticator, "bob", "Secret-2")
    assert isinstance(outcome, Challenge)
    assert outcome.data.startswith(b"v=")
    final = await login.answer(b"")
    assert isinstance(final, Success)
    assert final.user.name == "bob"


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong"), ("nobody", "wrong"), ("carol", "Secret-3"), ("carol", "wrong")]
)
async def test_scram_refusals_look_the_same(authenticator: TableAuthenticator, name: str, password: str) -> None:
    """Unknown, disabled or wrong: a challenge, then the same failure, and never the server's signature."""
    _, outcome = await _scram(authenticator, name, password)
    assert isinstance(outcome, Failure)
    assert outcome.error.kind is Kind.BAD_CREDENTIALS
    assert not outcome.malformed


async def test_scram_challenges_are_constant_for_a_login(authenticator: TableAuthenticator) -> None:
    async def salt(name: str) -> bytes:
        challenge = await _login(authenticator).begin("SCRAM-SHA-256", f"n,,n={name},r=abc".encode())
        assert isinstance(challenge, Challenge)
        return challenge.data.split(b",")[1]

    assert await salt("nobody") == await salt("nobody")
    assert await salt("nobody") != await salt("nobody-else")


async def test_cram_md5(authenticator: TableAuthenticator) -> None:
    assert isinstance(await _cram(authenticator, "alice", "Secret-1"), Success)
    assert isinstance(await _cram(authenticator, "alice", "wrong"), Failure)
    assert authenticator.failures == [("alice", "wrong digest", True)]


async def test_lack_of_a_secret_is_not_held_against_anybody(authenticator: TableAuthenticator) -> None:
    assert isinstance(await _cram(authenticator, "bob", "Secret-2"), Failure)
    assert authenticator.failures == [("bob", "no recoverable password is kept", False)]


async def test_disabled_user_with_the_right_secret(authenticator: TableAuthenticator) -> None:
    outcome = await _cram(authenticator, "carol", "Secret-3")
    assert isinstance(outcome, Failure)
    assert outcome.error.kind is Kind.BAD_CREDENTIALS


async def test_database_away(authenticator: TableAuthenticator) -> None:
    authenticator.unavailable = True
    for mechanism, initial in (("PLAIN", b"\0alice\0Secret-1"), ("SCRAM-SHA-256", b"n,,n=alice,r=abc")):
        outcome = await _login(authenticator).begin(mechanism, initial)
        assert isinstance(outcome, Failure)
        assert outcome.error.kind is Kind.UNAVAILABLE


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.7", False), ("", False), ("localhost", False)],
)
def test_loopback(address: str, here: bool) -> None:
    assert is_loopback(address) is here


def test_where_passwords_may_travel() -> None:
    encrypted = Client(Protocol.POP3, 1, 1, "192.0.2.7", 1, encrypted=True)
    here = Client(Protocol.POP3, 1, 1, "127.0.0.1", 1)
    assert not may_send_password(CLIENT, encryption_required=True)
    assert may_send_password(CLIENT, encryption_required=False)
    assert may_send_password(encrypted, encryption_required=True)
    assert may_send_password(here, encryption_required=True)
