# SPDX-License-Identifier: MIT
"""Logins checked against the database, for every protocol and the console.

RFC 5802 §5.1 and RFC 7677 §4 (verifiers). Spec services 1.7: whatever is wrong, the client hears the same; the true
reason goes to security.log. Unknown names cost as much time as wrong passwords do.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import timedelta

from mailserver import clock, logs, vault
from mailserver.addressing.services import default_domain
from mailserver.database import takes_long
from mailserver.errors import Kind, MailError
from mailserver.users.authentication import LoggedInUser, ScramVerifier
from mailserver.users.finding import login_filter
from mailserver.users.models import User
from mailserver.users.passwords import (
    SALT_BYTES,
    SCRAM_ITERATIONS,
    UNUSABLE,
    make_hash,
    open_recoverable,
    parse_scram,
    verify,
)
from mailserver.users.verified import VerifiedPasswords
from mailserver.values import Client, Protocol, UserId


@dataclass(frozen=True, slots=True)
class _Account:
    """What a login needs of a user's row."""

    id: int
    name: str
    address: str
    password: str = field(repr=False)
    scram_verifier: str = field(repr=False)
    recoverable_secret: bytes | None = field(repr=False)
    keep_recoverable: bool
    is_active: bool
    is_admin: bool
    allowed_protocols: list[str]


_COLUMNS = tuple(_Account.__dataclass_fields__)


class DatabaseAuthenticator:
    """Implements `authentication.Authenticator`; one for each process, shared by its threads."""

    def __init__(self, verified: VerifiedPasswords | None = None) -> None:
        self._verified = VerifiedPasswords() if verified is None else verified

    def find_remembered(self, login: str, password: str, client: Client) -> LoggedInUser | None:
        account = _find_account(login)
        if account is None or _why_not(account, client):
            return None
        if not self._verified.knows(account.id, account.password, password):
            return None
        return _admit(account, login, client)

    @takes_long
    def check_password(self, login: str, password: str, client: Client) -> LoggedInUser:
        account = _find_account(login)
        if not self._is_right(account, password):
            raise _refuse(login, client, "wrong password" if account else "no such user")
        assert account is not None
        return _admit(account, login, client)

    def find_scram_verifier(self, login: str) -> ScramVerifier:
        account = _find_account(login)
        if account is None or not account.scram_verifier:
            return _make_up_verifier(account.address if account else _full_address(login))
        return parse_scram(account.scram_verifier)

    def find_secret(self, login: str) -> str | None:
        account = _find_account(login)
        if account is None or not account.keep_recoverable or account.recoverable_secret is None:
            return None
        return open_recoverable(account.recoverable_secret)

    def admit(self, login: str, client: Client) -> LoggedInUser:
        account = _find_account(login)
        if account is None:
            raise _refuse(login, client, "no such user")
        return _admit(account, login, client)

    def record_failure(self, login: str, client: Client, reason: str, *, counts: bool = True) -> None:
        _log_failure(login, client, reason if counts else f"{reason} (not held against anybody)")

    def may_log_in_again(self, user: UserId, delay_seconds: int) -> bool:
        """One UPDATE decides, so that of two logins at once only one gets in."""
        now = clock.now()
        rested = User.objects.exclude(last_pop3_login__gt=now - timedelta(seconds=delay_seconds))
        return bool(rested.filter(pk=user).update(last_pop3_login=now))

    def _is_right(self, account: _Account | None, password: str) -> bool:
        """Hashes when the password was not right a moment ago, also for nobody at all."""
        if account and self._verified.knows(account.id, account.password, password):
            return True
        right, outdated = verify(password, account.password if account else UNUSABLE)
        if account is None or not right:
            return False
        if outdated:
            account = _renew_hash(account, password)
        self._verified.remember(account.id, account.password, password)
        return True


def _find_account(login: str) -> _Account | None:
    row = User.objects.filter(login_filter(login)).order_by("pk").values_list(*_COLUMNS).first()
    return _Account(*row) if row else None


def _admit(account: _Account, login: str, client: Client) -> LoggedInUser:
    reason = _why_not(account, client)
    if reason:
        raise _refuse(login, client, reason)
    logs.security(f"{client.protocol.value} login of {account.address} from {client.address}: accepted")
    return LoggedInUser(UserId(account.id), account.name, account.address)


def _why_not(account: _Account, client: Client) -> str:
    """What keeps somebody with the right password out; empty when nothing does (spec services 1.4 and 1.7)."""
    if not account.is_active:
        return "the user is disabled"
    if client.protocol.value not in account.allowed_protocols:
        return f"the user may not use {client.protocol.value}"
    if client.protocol is Protocol.WEB and not account.is_admin:
        return "the user is not an administrator"
    if client.rule_users is not None and account.id not in client.rule_users:
        return "the access rule for this address names other users"
    return ""


def _refuse(login: str, client: Client, reason: str) -> MailError:
    _log_failure(login, client, reason)
    return MailError(Kind.BAD_CREDENTIALS, reason)


def _log_failure(login: str, client: Client, reason: str) -> None:
    """`login` is whatever a stranger typed: quoted, and cut."""
    logs.security(f"{client.protocol.value} login of {login[:100]!r} from {client.address}: refused, {reason}")


def _renew_hash(account: _Account, password: str) -> _Account:
    """Store the password with today's parameters, unless it was changed meanwhile."""
    renewed = make_hash(password)
    User.objects.filter(pk=account.id, password=account.password).update(password=renewed)
    values = {column: getattr(account, column) for column in _COLUMNS}
    return _Account(**{**values, "password": renewed})


def _full_address(login: str) -> str:
    """A bare name and its address must get the same made-up verifier, as they do for users who exist."""
    text = login.strip().lower()
    return text if "@" in text else f"{text}@{default_domain()}"


def _make_up_verifier(address: str) -> ScramVerifier:
    """Always the same one for an address, so that asking twice tells nothing."""
    key = vault.installation_key().derive("scram")

    def part(use: str) -> bytes:
        return hmac.digest(key, f"{use}:{address}".encode("utf-8", "surrogatepass"), "sha256")

    return ScramVerifier(part("salt")[:SALT_BYTES], SCRAM_ITERATIONS, part("stored key"), part("server key"))
