# SPDX-License-Identifier: MIT
"""Who gets in, who does not, and that the client is never told why (spec services 1.4 and 1.7)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.test import RequestFactory

from mailserver.addressing.services import add_domain
from mailserver.errors import Kind, MailError
from mailserver.users import passwords
from mailserver.users.authentication import ScramVerifier
from mailserver.users.services import DatabaseAuthenticator, User, create_user, set_password, update_user
from mailserver.users.verified import VerifiedPasswords
from mailserver.values import Client, Protocol
from tests.support.hashing import CheapArgon2Hasher

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PASSWORD = "alice-secret-1"


def client(protocol: Protocol = Protocol.POP3, rule_users: frozenset[int] | None = None) -> Client:
    return Client(protocol, service_id=1, session=1, address="192.0.2.9", port=1, rule_users=rule_users)


@pytest.fixture
def authenticator() -> DatabaseAuthenticator:
    return DatabaseAuthenticator()


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each hash that a password was checked against."""
    seen: list[str] = []
    original = passwords.verify_password

    def verify_password(password: str, encoded: str) -> Any:
        seen.append(encoded)
        return original(password, encoded)

    monkeypatch.setattr(passwords, "verify_password", verify_password)
    return seen


@pytest.mark.parametrize("login", ["alice", "ALICE", " alice ", "alice@example.test", "Alice@Example.TEST"])
def test_by_name_or_address(alice: User, authenticator: DatabaseAuthenticator, login: str) -> None:
    user = authenticator.check_password(login, PASSWORD, client())
    assert (user.id, user.name, user.address) == (alice.pk, "alice", "alice@example.test")


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("alice", "Alice-secret-1"),
        ("alice", ""),
        ("alice", "alice-secret-1 "),
        ("alice", "pass\0word"),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("alice@elsewhere.example", PASSWORD),
        ("alice@", PASSWORD),
        ("@example.test", PASSWORD),
        ("alice@bücher\u0301..example", PASSWORD),
        ("x" * 5000, PASSWORD),
        ("al\0ice", PASSWORD),
        ("alice\udcff", PASSWORD),
        ("alice", "alice\udcff"),
    ],
)
def test_wrong(alice: User, authenticator: DatabaseAuthenticator, login: str, password: str) -> None:
    with pytest.raises(MailError) as caught:
        authenticator.check_password(login, password, client())
    assert caught.value.kind is Kind.BAD_CREDENTIALS


def refuse(alice: User, way: str) -> Client:
    """Keep Alice out in this way, and say as which client she comes."""
    match way:
        case "disabled":
            update_user(alice.pk, is_active=False)
        case "protocol":
            update_user(alice.pk, allowed_protocols=["smtp"])
        case "rule":
            return client(rule_users=frozenset({alice.pk + 1}))
        case "web":
            return client(Protocol.WEB)
    return client()


@pytest.mark.parametrize("way", ["disabled", "protocol", "rule", "web"])
def test_the_right_password_is_not_enough(alice: User, authenticator: DatabaseAuthenticator, way: str) -> None:
    authenticator.check_password("alice", PASSWORD, client())
    peer = refuse(alice, way)
    for attempt in (
        lambda: authenticator.check_password("alice", PASSWORD, peer),
        lambda: authenticator.admit("alice", peer),
    ):
        with pytest.raises(MailError) as caught:
            attempt()
        assert caught.value.kind is Kind.BAD_CREDENTIALS


def test_a_rule_that_names_the_user(alice: User, authenticator: DatabaseAuthenticator) -> None:
    peer = client(rule_users=frozenset({alice.pk}))
    assert authenticator.check_password("alice", PASSWORD, peer).id == alice.pk
    assert authenticator.admit("alice", peer).id == alice.pk


def test_admission_of_a_stranger(alice: User, authenticator: DatabaseAuthenticator) -> None:
    with pytest.raises(MailError):
        authenticator.admit("nobody", client())


def test_the_true_reason_goes_to_the_security_log(
    alice: User, authenticator: DatabaseAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pillarbox.security")
    authenticator.check_password("alice", PASSWORD, client())
    for login, password in (("alice", "wrong"), ("no\r\nbody", PASSWORD)):
        with pytest.raises(MailError):
            authenticator.check_password(login, password, client())
    authenticator.record_failure("alice", client(), "wrong digest")
    authenticator.record_failure("alice", client(), "no recoverable password is kept", counts=False)
    lines = [record.getMessage() for record in caplog.records if record.name == "pillarbox.security"]
    assert lines == [
        "pop3 login of alice@example.test from 192.0.2.9: accepted",
        "pop3 login of 'alice' from 192.0.2.9: refused, wrong password",
        r"pop3 login of 'no\r\nbody' from 192.0.2.9: refused, no such user",
        "pop3 login of 'alice' from 192.0.2.9: refused, wrong digest",
        "pop3 login of 'alice' from 192.0.2.9: refused, no recoverable password is kept (not held against anybody)",
    ]
    assert PASSWORD not in caplog.text


def test_a_right_password_is_hashed_once(alice: User, authenticator: DatabaseAuthenticator, hashes: list[str]) -> None:
    for _ in range(3):
        authenticator.check_password("alice", PASSWORD, client())
    assert len(hashes) == 1


def test_a_wrong_password_is_hashed_each_time_and_a_strangers_too(
    alice: User, authenticator: DatabaseAuthenticator, hashes: list[str]
) -> None:
    for login in ("alice", "alice", "nobody", "nobody"):
        with pytest.raises(MailError):
            authenticator.check_password(login, "wrong", client())
    assert len(hashes) == 4


def test_a_changed_password_is_felt_at_once(alice: User, authenticator: DatabaseAuthenticator) -> None:
    authenticator.check_password("alice", PASSWORD, client())
    set_password(alice.pk, "alice-secret-2")
    with pytest.raises(MailError):
        authenticator.check_password("alice", PASSWORD, client())
    authenticator.check_password("alice", "alice-secret-2", client())


def test_the_memory_is_per_user(alice: User, authenticator: DatabaseAuthenticator) -> None:
    create_user("bob", "bob-secret-22")
    authenticator.check_password("alice", PASSWORD, client())
    with pytest.raises(MailError):
        authenticator.check_password("bob", PASSWORD, client())


def test_an_old_hash_is_renewed_at_login(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheapArgon2Hasher, "memory_cost", 32)
    set_password(alice.pk, PASSWORD)
    monkeypatch.undo()
    weak = User.objects.get(pk=alice.pk).password
    memory = VerifiedPasswords()
    authenticator = DatabaseAuthenticator(memory)
    authenticator.check_password("alice", PASSWORD, client())
    renewed = User.objects.get(pk=alice.pk).password
    assert "m=32," in weak
    assert f"m={CheapArgon2Hasher.memory_cost}," in renewed
    assert memory.knows(alice.pk, renewed, PASSWORD)
    authenticator.check_password("alice", PASSWORD, client())


def test_the_verifier_is_the_stored_one(alice: User, authenticator: DatabaseAuthenticator) -> None:
    stored = passwords.parse_scram(User.objects.get(pk=alice.pk).scram_verifier)
    assert authenticator.find_scram_verifier("alice") == stored
    assert authenticator.find_scram_verifier("ALICE@example.test") == stored


def test_strangers_get_a_verifier_that_never_changes(alice: User) -> None:
    def ask(login: str) -> ScramVerifier:
        return DatabaseAuthenticator().find_scram_verifier(login)

    real = ask("alice")
    made_up = ask("nobody")
    assert made_up == ask("nobody") == ask("NoBody") == ask("nobody@example.test")
    assert made_up != ask("somebody")
    assert (made_up.iterations, len(made_up.salt)) == (real.iterations, len(real.salt))
    assert (len(made_up.stored_key), len(made_up.server_key)) == (len(real.stored_key), len(real.server_key))


def test_a_secret_only_where_one_is_kept(alice: User, authenticator: DatabaseAuthenticator) -> None:
    assert authenticator.find_secret("alice") is None
    assert authenticator.find_secret("nobody") is None
    update_user(alice.pk, keep_recoverable=True)
    assert authenticator.find_secret("alice") is None
    set_password(alice.pk, "alice-secret-2")
    assert authenticator.find_secret("alice@example.test") == "alice-secret-2"


def test_a_name_that_two_domains_share(alice: User, authenticator: DatabaseAuthenticator) -> None:
    add_domain("second.example")
    other = create_user("alice", "another-secret", domain="second.example")
    assert authenticator.check_password("alice", PASSWORD, client()).id == alice.pk
    assert authenticator.check_password("alice@second.example", "another-secret", client()).id == other.pk
    with pytest.raises(MailError):
        authenticator.check_password("alice", "another-secret", client())


class TestConsole:
    """Django's backend: administrators who may use the web."""

    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1")

    def test_an_administrator_by_name_or_address(self, postmaster: User) -> None:
        for login in ("postmaster", "Postmaster@Example.test"):
            assert authenticate(self.request, username=login, password="postmaster-secret") == postmaster

    def test_others_are_kept_out(self, alice: User) -> None:
        assert authenticate(self.request, username="alice", password=PASSWORD) is None
        assert authenticate(self.request, username="postmaster", password="wrong") is None
        assert authenticate(self.request, username="postmaster") is None

    def test_who_is_no_longer_allowed_is_out_at_once(self, postmaster: User, alice: User) -> None:
        from mailserver.users.backend import MailUserBackend

        backend = MailUserBackend()
        update_user(alice.pk, is_admin=True)
        assert backend.get_user(alice.pk) == alice
        for fields in ({"is_active": False}, {"is_active": True, "allowed_protocols": ["pop3"]}, {"is_admin": False}):
            update_user(alice.pk, **fields)
            assert backend.get_user(alice.pk) is None


class TestRemembered:
    """The answer that needs no arithmetic: it says yes, or nothing."""

    def test_only_after_the_password_was_right(
        self, alice: User, authenticator: DatabaseAuthenticator, hashes: list[str]
    ) -> None:
        assert authenticator.find_remembered("alice", PASSWORD, client()) is None
        with pytest.raises(MailError):
            authenticator.check_password("alice", "wrong", client())
        assert authenticator.find_remembered("alice", "wrong", client()) is None
        user = authenticator.check_password("alice", PASSWORD, client())
        assert authenticator.find_remembered("alice@example.test", PASSWORD, client()) == user
        assert authenticator.find_remembered("nobody", PASSWORD, client()) is None
        assert len(hashes) == 2

    @pytest.mark.parametrize("way", ["disabled", "protocol", "rule", "web"])
    def test_it_never_says_why_not(
        self, alice: User, authenticator: DatabaseAuthenticator, caplog: pytest.LogCaptureFixture, way: str
    ) -> None:
        authenticator.check_password("alice", PASSWORD, client())
        peer = refuse(alice, way)
        caplog.clear()
        assert authenticator.find_remembered("alice", PASSWORD, peer) is None
        assert caplog.records == []
