# SPDX-License-Identifier: MIT
"""The client's half of each SASL mechanism, as a small machine: challenges in, responses out.

RFC 4422 §3, RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM-SHA-256), RFC 2195 (CRAM-MD5), RFC 7628 (OAUTHBEARER);
LOGIN and XOAUTH2 have no standard and follow what the large providers do. Pure: used alike by the SMTP, POP3 and IMAP4
clients, which do the base64 and the framing. They send `initial()` with the command where the protocol has room for
it, else in answer to an empty challenge; give each further challenge to `respond()`; and call `finish()` when the
server says that the login succeeded, for only then is it known whether the server proved itself (SCRAM).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
import secrets
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Collection

from mailserver.connectors.values import LoginMethod
from mailserver.users.saslprep import saslprep
from protocols.sasl.mechanisms import CRAM_MD5, LOGIN, PLAIN, SCRAM_SHA_256

XOAUTH2 = "XOAUTH2"
OAUTHBEARER = "OAUTHBEARER"

MIN_ITERATIONS = 4096
"""RFC 7677 §4. Somebody in the middle who asks for fewer would make the password easier to guess from our proof."""
MAX_ITERATIONS = 1_000_000
"""A third of a second of work; a server that asks for more only wants to keep us busy. Stored ones have 4,096 to
600,000 (OWASP's advice of 2023)."""

_SPOKEN = {
    LoginMethod.PLAIN: PLAIN,
    LoginMethod.LOGIN: LOGIN,
    LoginMethod.CRAM_MD5: CRAM_MD5,
    LoginMethod.XOAUTH2: XOAUTH2,
    LoginMethod.OAUTHBEARER: OAUTHBEARER,
}
_WITH_TOKEN = (OAUTHBEARER, XOAUTH2)
_IN_PRIVATE = (SCRAM_SHA_256, PLAIN, LOGIN, CRAM_MD5)
"""CRAM-MD5 is last where nobody can listen: many servers offer it and know no secret for it."""
_IN_PUBLIC = (SCRAM_SHA_256, CRAM_MD5, PLAIN, LOGIN)
"""A password in clear comes last, but it comes: who chose no encryption for this server has decided that."""

GetToken = Callable[[str], Awaitable[str]]
"""Gives an access token, another one than the one given; may raise what it likes."""


class LoginImpossible(Exception):
    """No mechanism that we may use is offered. The text is one sentence for the administrator."""


class BadChallenge(Exception):
    """The server broke the mechanism's rules, or could not prove that it knows the password."""


class ClientMechanism(ABC):
    """One exchange. `explanation` is what the server said of a refusal, where the mechanism has words for that."""

    name: str
    explanation: str = ""

    @abstractmethod
    def initial(self) -> bytes | None:
        """The first message, or None when the server speaks first."""

    @abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """To one challenge, already decoded. Raises BadChallenge: the exchange is then to be cancelled."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to check
        """The server says that we are in. Raises BadChallenge when it should have proved itself, and did not."""


class PlainClient(ClientMechanism):
    """RFC 4616 §2."""

    name = PLAIN

    def __init__(self, username: str, password: str) -> None:
        self._message = b"\0" + _text(username) + b"\0" + _text(password)

    def initial(self) -> bytes:
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        raise BadChallenge("PLAIN has no second step")


class LoginClient(ClientMechanism):
    """Name, then password, whatever the prompts say: they differ between servers."""

    name = LOGIN

    def __init__(self, username: str, password: str) -> None:
        self._left = [_text(password), _text(username)]

    def initial(self) -> None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        if not self._left:
            raise BadChallenge("LOGIN has no third step")
        return self._left.pop()


class CramMd5Client(ClientMechanism):
    """RFC 2195 §2."""

    name = CRAM_MD5

    def __init__(self, username: str, password: str) -> None:
        self._username = _text(username)
        self._password = _text(password)
        self._answered = False

    def initial(self) -> None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        if self._answered or not challenge:
            raise BadChallenge("CRAM-MD5 has one challenge, which is not empty")
        self._answered = True
        return self._username + b" " + hmac.new(self._password, challenge, "md5").hexdigest().encode()


# server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
_SERVER_FIRST = re.compile(rb"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,[A-Za-z]=[^,\0]+)*")
# server-final-message = (server-error / verifier) ["," extensions]
_SERVER_FINAL = re.compile(rb"(?:v=([A-Za-z0-9+/=]+)|e=([^,\0]+))(?:,[A-Za-z]=[^,\0]+)*")


class ScramClient(ClientMechanism):
    """RFC 5802 §5 with SHA-256 (RFC 7677), without channel binding."""

    name = SCRAM_SHA_256

    def __init__(self, username: str, password: str, nonce: str | None = None) -> None:
        self._nonce = (nonce or secrets.token_urlsafe(24)).encode()
        self._password = saslprep(password).encode()
        self._first = b"n=" + _saslname(username) + b",r=" + self._nonce
        self._signature: bytes | None = None
        self._proved = False

    def initial(self) -> bytes:
        return b"n,," + self._first

    def respond(self, challenge: bytes) -> bytes:
        if self._signature is None:
            return self._answer(challenge)
        if not self._proved:
            self._check(challenge, self._signature)
            return b""
        raise BadChallenge("SCRAM has no third step")

    def _answer(self, challenge: bytes) -> bytes:
        first = _SERVER_FIRST.fullmatch(challenge)
        if first is None:
            raise BadChallenge("not a server-first-message")
        nonce, salt, iterations = first[1], _from_base64(first[2]), int(first[3])
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise BadChallenge("the server's nonce does not go on from ours")
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise BadChallenge(f"{iterations} iterations are too few or too many")
        bare = b"c=biws,r=" + nonce
        exchange = self._first + b"," + challenge + b"," + bare
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), exchange, "sha256")
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), exchange, "sha256")
        return bare + b",p=" + b64encode(proof)

    def _check(self, challenge: bytes, signature: bytes) -> None:
        final = _SERVER_FINAL.fullmatch(challenge)
        if final is None:
            raise BadChallenge("not a server-final-message")
        if final[2]:
            self.explanation = final[2].decode(errors="replace")
            raise BadChallenge(f"the server says: {self.explanation}")
        if not hmac.compare_digest(_from_base64(final[1]), signature):
            raise BadChallenge("the server does not know the password itself")
        self._proved = True

    def finish(self) -> None:
        if not self._proved:
            raise BadChallenge("the server let us in without proving that it knows the password")


class TokenClient(ClientMechanism):
    """What OAUTHBEARER and XOAUTH2 share: one message, and a challenge that is not a question but a refusal.

    RFC 7628 §3.2.2: the refusal is JSON, and must be answered before the server fails the command.
    """

    _message: bytes
    _acknowledgement: bytes

    def __init__(self) -> None:
        self.refused = False
        """The server did not like the token: another one, newly fetched, may do."""

    def initial(self) -> bytes:
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        if self.refused:
            raise BadChallenge(f"{self.name} has no third step")
        self.refused = True
        self.explanation = _read_refusal(challenge)
        return self._acknowledgement

    def finish(self) -> None:
        if self.refused:
            raise BadChallenge("the server let us in after it had refused the token")


class OAuthBearerClient(TokenClient):
    """RFC 7628 §3.1."""

    name = OAUTHBEARER
    _acknowledgement = b"\x01"

    def __init__(self, username: str, token: str, host: str, port: int) -> None:
        super().__init__()
        self._message = b"n,a=%s,\x01host=%s\x01port=%d\x01auth=Bearer %s\x01\x01" % (
            _saslname(username), host.encode("idna" if not host.isascii() else "ascii"), port, _token(token),
        )  # fmt: skip


class XOAuth2Client(TokenClient):
    """Google's and Microsoft's own; Microsoft has no other."""

    name = XOAUTH2
    _acknowledgement = b""

    def __init__(self, username: str, token: str) -> None:
        super().__init__()
        self._message = b"user=%s\x01auth=Bearer %s\x01\x01" % (_text(username), _token(token))


def choose_mechanism(method: LoginMethod, offered: Collection[str], *, private: bool, with_token: bool = False) -> str:
    """The mechanism to log in by: the one that was asked for, or the strongest that is offered and safe.

    `private`: nobody can listen (TLS, or this machine itself). `with_token`: there is an OAuth account instead of a
    password. A token is never sent where others can read it (RFC 6750 §5.3). Raises LoginImpossible.
    """
    names = {name.upper() for name in offered}
    if with_token or method in (LoginMethod.XOAUTH2, LoginMethod.OAUTHBEARER):
        if not private:
            raise LoginImpossible("An OAuth2 account can be used over an encrypted connection only.")
        if not with_token:
            raise LoginImpossible("No OAuth2 account is chosen for this server.")
        candidates: tuple[str, ...] = (_SPOKEN[method],) if _SPOKEN.get(method) in _WITH_TOKEN else _WITH_TOKEN
    elif method is LoginMethod.AUTOMATIC:
        candidates = _IN_PRIVATE if private else _IN_PUBLIC
    elif method in _SPOKEN:
        candidates = (_SPOKEN[method],)
    else:
        raise LoginImpossible(f"This kind of server cannot log anybody in by {method.value.upper()}.")
    for name in candidates:
        if name in names:
            return name
    wanted = candidates[0] if len(candidates) == 1 else "any log-in method that can be used here"
    known = ", ".join(sorted(names)) or "none"
    raise LoginImpossible(f"The server does not offer {wanted} (it offers: {known}).")


def start_client(
    name: str, username: str, *, password: str = "", token: str = "", host: str = "", port: int = 0
) -> ClientMechanism:
    """A machine for a name that `choose_mechanism` gave. Raises LoginImpossible for what cannot be sent at all."""
    match name:
        case "PLAIN":
            return PlainClient(username, password)
        case "LOGIN":
            return LoginClient(username, password)
        case "CRAM-MD5":
            return CramMd5Client(username, password)
        case "SCRAM-SHA-256":
            return ScramClient(username, password)
        case "OAUTHBEARER":
            return OAuthBearerClient(username, token, host, port)
        case "XOAUTH2":
            return XOAuth2Client(username, token)
    raise LoginImpossible(f"The log-in method {name} is not known here.")


def _text(value: str) -> bytes:
    if "\0" in value:
        raise LoginImpossible("A name or password must not contain a NUL character.")
    return value.encode(errors="replace")


def _saslname(value: str) -> bytes:
    return _text(saslprep(value).replace("=", "=3D").replace(",", "=2C"))


def _token(value: str) -> bytes:
    """RFC 6750 §2.1 allows fewer characters, but servers make tokens of others; none that would end the message."""
    if not value or not value.isascii() or not value.isprintable():
        raise LoginImpossible("There is no usable OAuth2 token for this account.")
    return value.encode()


def _read_refusal(challenge: bytes) -> str:
    """`invalid_token` and the like, as one line; whatever was sent when it is not the JSON that it should be."""
    try:
        answer = json.loads(challenge)
    except ValueError:
        return challenge[:200].decode(errors="replace")
    if not isinstance(answer, dict):
        return str(answer)[:200]
    words = [str(answer[key]) for key in ("status", "error", "error_description") if answer.get(key)]
    return ": ".join(words)[:200]


def _from_base64(data: bytes) -> bytes:
    try:
        return b64decode(data, validate=True)
    except binascii.Error:
        raise BadChallenge("not base64") from None
