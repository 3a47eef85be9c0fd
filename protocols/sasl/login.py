# SPDX-License-Identifier: MIT
"""One login by SASL: runs a mechanism's machine and asks the authenticator.

RFC 4422 §3, RFC 4954 §4, RFC 5034 §4. A protocol decodes base64, sends challenges in its own way, and ends the
exchange when the client cancels it (`*`) simply by forgetting this object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from mailserver.errors import Kind, MailError
from mailserver.users.authentication import Authenticator, LoggedInUser
from mailserver.users.saslprep import saslprep
from mailserver.values import Client
from protocols.net.offload import Offload
from protocols.sasl.mechanisms import (
    Challenge,
    CheckPassword,
    CheckSecret,
    FindVerifier,
    Finished,
    MalformedResponse,
    Mechanism,
    Proved,
    Refuted,
    Step,
    start_mechanism,
)


@dataclass(frozen=True, slots=True)
class Success:
    """The user is in. Nothing more is to be sent than the protocol's own success reply."""

    user: LoggedInUser


@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange is over. `malformed`: the client broke the syntax (501 in SMTP), and no login was tried."""

    error: MailError
    malformed: bool = False


Outcome = Challenge | Success | Failure


def may_send_password(client: Client, *, encryption_required: bool) -> bool:
    """Whether a password may travel in plain text: under TLS, from this machine, or where nobody asked for more."""
    return client.encrypted or not encryption_required or is_loopback(client.address)


def is_loopback(address: str) -> bool:
    """This machine itself, to which neither session limits nor the need for encryption apply (design section 3)."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


class Login:
    """One exchange: `begin` once, then `answer` for as long as the outcome is a Challenge."""

    def __init__(self, authenticator: Authenticator, offload: Offload, client: Client, hostname: str) -> None:
        self._authenticator = authenticator
        self._offload = offload
        self._client = client
        self._hostname = hostname
        self._mechanism: Mechanism | None = None
        self._admitted: LoggedInUser | None = None

    async def begin(self, mechanism: str, initial: bytes | None) -> Outcome:
        """`mechanism` is one of those offered; `initial` is None when absent and b"" for `=` (RFC 4954 §4)."""
        self._mechanism = start_mechanism(mechanism, self._hostname)
        return await self._advance(self._mechanism.start, initial)

    async def answer(self, response: bytes) -> Outcome:
        """The client's response to the last challenge, already decoded."""
        assert self._mechanism is not None
        return await self._advance(self._mechanism.respond, response)

    async def by_password(self, login: str, password: str) -> LoggedInUser:
        """Log in somebody who gives the password itself (PLAIN, LOGIN, and POP3's PASS). Raises MailError.

        A program that polls every minute never waits behind those whose passwords must be hashed.
        """
        known = await self._offload(self._authenticator.find_remembered, login, password, self._client)
        if known is not None:
            return known
        return await self._offload(self._authenticator.check_password, login, password, self._client)

    async def by_secret(self, login: str, matches: Callable[[str], bool]) -> LoggedInUser:
        """Log in somebody who says to know the recoverable secret (CRAM-MD5, APOP; RFC 6856 §2.2). Raises MailError."""
        secret = await self._offload(self._authenticator.find_secret, login)
        if secret is None:
            raise await self._refuse(login, "no recoverable password is kept", counts=False)
        if not matches(saslprep(secret)):
            raise await self._refuse(login, "wrong digest")
        return await self._offload(self._authenticator.admit, login, self._client)

    async def _advance(self, move: Callable[..., Step], data: bytes | None) -> Outcome:
        try:
            return await self._carry_out(move(data))
        except MalformedResponse as error:
            return Failure(MailError(Kind.BAD_CREDENTIALS, str(error)), malformed=True)
        except MailError as error:
            return Failure(error)

    async def _carry_out(self, step: Step) -> Outcome:
        match step:
            case Challenge():
                return step
            case FindVerifier(login, then):
                return then(await self._offload(self._authenticator.find_scram_verifier, login))
            case CheckPassword(login, password, authorization):
                user = await self.by_password(login, password)
                return Success(await self._authorize(user, login, authorization))
            case CheckSecret(login, matches):
                return Success(await self.by_secret(login, matches))
            case Refuted(login):
                raise await self._refuse(login, "wrong SCRAM proof")
            case Proved(login, authorization, final):
                return await self._admit(login, authorization, final)
            case Finished():
                assert self._admitted is not None
                return Success(self._admitted)

    async def _admit(self, login: str, authorization: str, final: bytes) -> Challenge:
        """Before the signature is sent: it would tell a disabled user that the password was right."""
        user = await self._offload(self._authenticator.admit, login, self._client)
        self._admitted = await self._authorize(user, login, authorization)
        return Challenge(final)

    async def _authorize(self, user: LoggedInUser, login: str, authorization: str) -> LoggedInUser:
        """Nobody may act as somebody else (RFC 4616 §2); naming oneself is allowed."""
        allowed = ("", login.lower(), user.name.lower(), user.address.lower())
        if authorization.lower() not in allowed:
            raise await self._refuse(login, "asked to act as somebody else", counts=False)
        return user

    async def _refuse(self, login: str, reason: str, *, counts: bool = True) -> MailError:
        await self._offload(self._authenticator.record_failure, login, self._client, reason, counts=counts)
        return MailError(Kind.BAD_CREDENTIALS, reason)
