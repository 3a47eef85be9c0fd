# SPDX-License-Identifier: MIT
"""What protocols ask about logins, as an interface; `services.py` answers from the database, tests from a table.

Every method may block (call through offload). Failures are MailError(BAD_CREDENTIALS), deliberately the same for an
unknown user, a wrong password, a disabled user, a forbidden protocol and an access rule that names others
(spec services 1.7); the true reason goes to security.log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mailserver.values import Client, UserId


@dataclass(frozen=True, slots=True)
class LoggedInUser:
    """Who logged in."""

    id: UserId
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """RFC 5802 §3: what the server keeps instead of the password (SHA-256, RFC 7677)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class Authenticator(Protocol):
    """Checks logins and says who it was."""

    def check_password(self, login: str, password: str, client: Client) -> LoggedInUser:
        """Plain-text logins. Records success or failure. Raises BAD_CREDENTIALS or UNAVAILABLE."""
        ...

    def find_remembered(self, login: str, password: str, client: Client) -> LoggedInUser | None:
        """As `check_password`, when no arithmetic is needed to say yes: the password was right a moment ago.

        None means that `check_password` must be asked; it is no refusal.
        """
        ...

    def find_scram_verifier(self, login: str) -> ScramVerifier:
        """Always answers: a made-up but constant one for logins that do not exist, so that nobody can tell."""
        ...

    def find_secret(self, login: str) -> str | None:
        """The recoverable password for APOP and CRAM-MD5, where the user keeps one."""
        ...

    def admit(self, login: str, client: Client) -> LoggedInUser:
        """After SCRAM, APOP or CRAM-MD5 proved the password: may this user in? As `check_password`."""
        ...

    def record_failure(self, login: str, client: Client, reason: str, *, counts: bool = True) -> None:
        """A proof was wrong. `counts=False` when only a recoverable secret was missing (design section 4)."""
        ...

    def may_log_in_again(self, user: UserId, delay_seconds: int) -> bool:
        """Whether the user's last POP3 login lies so far back (RFC 2449 §6.5); if so, this becomes the last one.

        Asked only where a delay is configured; one answer for all processes of the installation.
        """
        ...
