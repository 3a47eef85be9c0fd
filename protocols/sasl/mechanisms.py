# SPDX-License-Identifier: MIT
"""The server's half of each SASL mechanism, as a small machine: responses in, the next step out.

RFC 4422 §3, RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM-SHA-256), RFC 2195 (CRAM-MD5); LOGIN has no standard
and follows what mail programs do. Pure: a machine asks for a look-up by a step, and whoever runs it (`login.py`)
comes back with the answer. Base64 and the framing of challenges belong to the protocols.

SCRAM-SHA-256-PLUS is not offered, so a client that would have bound the channel (`y`) is let in, as RFC 5802 §6
asks of a server without channel binding, and one that insists on it (`p=`) is refused.
"""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
import time
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from mailserver.users.authentication import ScramVerifier
from mailserver.users.saslprep import saslprep
from mailserver.users.scram import is_proof_right, server_signature

PLAIN = "PLAIN"
LOGIN = "LOGIN"
SCRAM_SHA_256 = "SCRAM-SHA-256"
CRAM_MD5 = "CRAM-MD5"


class MalformedResponse(Exception):
    """The client broke the mechanism's syntax; nothing was learnt about any password."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client and come back with its response."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Is this the user's password, and may the user be called `authorization`? Ends the exchange."""

    login: str
    password: str = field(repr=False)
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class FindVerifier:
    """Find this login's verifier and give it to `then`, which makes the next step."""

    login: str
    then: Callable[[ScramVerifier], Challenge] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckSecret:
    """Find this login's recoverable secret; `matches` says whether the client knew it. Ends the exchange."""

    login: str
    matches: Callable[[str], bool] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proved:
    """The client knew the password. Once the user is admitted, `final` is sent as a last challenge."""

    login: str
    authorization: str
    final: bytes


@dataclass(frozen=True, slots=True)
class Refuted:
    """The proof was wrong."""

    login: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The client has acknowledged the last challenge."""


Step = Challenge | CheckPassword | FindVerifier | CheckSecret | Proved | Refuted | Finished


class Mechanism(ABC):
    """One exchange."""

    @abstractmethod
    def start(self, initial: bytes | None) -> Step:
        """With the initial response, or None when the client sent none. Raises MalformedResponse."""

    @abstractmethod
    def respond(self, response: bytes) -> Step:
        """To the response to the last challenge. Raises MalformedResponse."""


class PlainMechanism(Mechanism):
    """RFC 4616: everything in one message."""

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        parts = response.split(b"\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise MalformedResponse("PLAIN needs authorization, name and password, parted by NUL")
        authorization, login, password = (_decode(part) for part in parts)
        return CheckPassword(login, password, authorization)


class LoginMechanism(Mechanism):
    """Name and password, each asked for. The prompts are those that Outlook and its kin wait for."""

    def __init__(self) -> None:
        self._login: str | None = None

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        text = _decode(response)
        if not text or "\0" in text:
            raise MalformedResponse("LOGIN needs a name and a password")
        if self._login is None:
            self._login = text
            return Challenge(b"Password:")
        return CheckPassword(self._login, text)


class CramMd5Mechanism(Mechanism):
    """RFC 2195 §2: a keyed digest of a challenge that never repeats."""

    def __init__(self, hostname: str, stamp: bytes | None = None) -> None:
        self._stamp = stamp or next_stamp(hostname)

    def start(self, initial: bytes | None) -> Step:
        if initial is not None:
            raise MalformedResponse("CRAM-MD5 has no initial response")
        return Challenge(self._stamp)

    def respond(self, response: bytes) -> Step:
        login, space, digest = response.rpartition(b" ")
        if not space or not login or not re.fullmatch(rb"[0-9a-fA-F]{32}", digest):
            raise MalformedResponse("CRAM-MD5 needs a name and 32 hexadecimal digits")
        given = digest.lower()

        def matches(secret: str) -> bool:
            right = hmac.new(secret.encode(), self._stamp, "md5").hexdigest()
            return hmac.compare_digest(right.encode(), given)

        return CheckSecret(_decode(login), matches)


# RFC 5802 §7: gs2-header = gs2-cbind-flag "," [ authzid ] ","
_GS2_HEADER = re.compile(rb"(p=[A-Za-z0-9.-]+|n|y),(?:a=([^,\0]*))?,")
# client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]; reserved-mext is refused
_CLIENT_FIRST = re.compile(rb"n=([^,\0]+),r=([!-+\--~]+)(?:,[A-Za-z]=[^,\0]+)*")
# client-final-message = channel-binding "," nonce ["," extensions] "," proof
_CLIENT_FINAL = re.compile(
    rb"(?P<bare>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,\0]+)*?),p=(?P<proof>[A-Za-z0-9+/=]+)"
)
# saslname: "=" and "," are written =3D and =2C, and no other "=" may stand
_STRAY_EQUALS = re.compile(r"=(?!2C|3D)")


class ScramMechanism(Mechanism):
    """RFC 5802 §5 with SHA-256 (RFC 7677), without channel binding."""

    def __init__(self, nonce: str | None = None) -> None:
        self._nonce = (nonce or secrets.token_urlsafe(24)).encode()
        self._login = ""
        self._authorization = ""
        self._gs2_header = b""
        self._so_far = b""
        self._verifier: ScramVerifier | None = None
        self._proved = False

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        if self._proved:
            if response:
                raise MalformedResponse("nothing is left to be said")
            return Finished()
        if self._verifier is None:
            return self._take_client_first(response)
        return self._take_client_final(response, self._verifier)

    def _take_client_first(self, message: bytes) -> FindVerifier:
        header = _GS2_HEADER.match(message)
        if header is None:
            raise MalformedResponse("no GS2 header")
        if header[1].startswith(b"p="):
            raise MalformedResponse("channel binding is not offered")
        bare = message[header.end() :]
        first = _CLIENT_FIRST.fullmatch(bare)
        if first is None:
            raise MalformedResponse("not a client-first-message")
        self._gs2_header = header[0]
        self._authorization = _parse_saslname(header[2] or b"")
        self._login = _parse_saslname(first[1])
        self._nonce = first[2] + self._nonce
        self._so_far = bare
        return FindVerifier(self._login, self._challenge)

    def _challenge(self, verifier: ScramVerifier) -> Challenge:
        self._verifier = verifier
        message = b"r=%s,s=%s,i=%d" % (self._nonce, b64encode(verifier.salt), verifier.iterations)
        self._so_far += b"," + message
        return Challenge(message)

    def _take_client_final(self, message: bytes, verifier: ScramVerifier) -> Proved | Refuted:
        final = _CLIENT_FINAL.fullmatch(message)
        if final is None:
            raise MalformedResponse("not a client-final-message")
        if final["nonce"] != self._nonce or _from_base64(final["binding"]) != self._gs2_header:
            raise MalformedResponse("nonce or channel binding differ from those of the first message")
        exchange = self._so_far + b"," + final["bare"]
        if not is_proof_right(verifier, exchange, _from_base64(final["proof"])):
            return Refuted(self._login)
        self._proved = True
        return Proved(self._login, self._authorization, b"v=" + b64encode(server_signature(verifier, exchange)))


def offered(service_offers_cram: bool, plain_allowed: bool) -> tuple[str, ...]:
    """The mechanisms to announce: the strongest first, and last the one that works for the fewest users."""
    return (
        SCRAM_SHA_256,
        *((PLAIN, LOGIN) if plain_allowed else ()),
        *((CRAM_MD5,) if service_offers_cram else ()),
    )


def start_mechanism(name: str, hostname: str) -> Mechanism:
    """A machine for one of the names that `offered` gives."""
    makers: dict[str, Callable[[], Mechanism]] = {
        PLAIN: PlainMechanism,
        LOGIN: LoginMechanism,
        SCRAM_SHA_256: ScramMechanism,
        CRAM_MD5: lambda: CramMd5Mechanism(hostname),
    }
    return makers[name]()


def next_stamp(hostname: str) -> bytes:
    """A text in the form of a message id that never repeats: CRAM-MD5's challenge, APOP's timestamp (RFC 1939 §7)."""
    return b"<%s.%d@%s>" % (secrets.token_hex(12).encode(), time.time_ns() // 1000, hostname.encode("ascii", "replace"))


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedResponse("not UTF-8") from None


def _parse_saslname(data: bytes) -> str:
    text = _decode(data)
    if _STRAY_EQUALS.search(text):
        raise MalformedResponse("'=' in a name is written =3D")
    return saslprep(text.replace("=2C", ",").replace("=3D", "="))


def _from_base64(data: bytes) -> bytes:
    try:
        return b64decode(data, validate=True)
    except binascii.Error:
        raise MalformedResponse("not base64") from None
