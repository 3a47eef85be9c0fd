# SPDX-License-Identifier: MIT
"""Every reply of the POP3 server: one function each, and the table from a failure to its wire form.

RFC 1939 §3, RFC 2449 §8 (response codes), RFC 3206 (SYS and AUTH codes), RFC 6856 §3 (LANG). Nothing else in this
package writes reply texts. A reply line never exceeds 512 octets (RFC 1939 §3).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from mailserver.errors import Kind

PRODUCT = "Pillarbox"
LANGUAGES = (("i-default", "Default language"), ("en", "English"))
"""RFC 6856 §3; both are English, as RFC 2277 §4.5 makes of i-default."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One status line.

    `opens_body`: a multi-line answer follows. `challenge`: AUTH goes on. `closes`: the connection ends with it.
    """

    line: bytes
    ok: bool = True
    opens_body: bool = False
    challenge: bool = False
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a multi-line answer, not yet dot-stuffed, cut anywhere."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The end of a multi-line answer."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A multi-line answer in one: most messages are short, and most clients ask for one at a time."""

    reply: Reply
    data: bytes


END = End()
Answer = Reply | Piece | End | Whole

_FAILURES: dict[Kind, bytes] = {
    Kind.NOT_FOUND: b"no such message",
    Kind.EXISTS: b"[SYS/TEMP] internal error, try again later",
    Kind.FORBIDDEN: b"[SYS/PERM] not permitted",
    Kind.BAD_CREDENTIALS: b"[AUTH] invalid name or password",
    Kind.OVER_QUOTA: b"[SYS/TEMP] over quota",
    Kind.TOO_BIG: b"[SYS/TEMP] internal error, try again later",
    Kind.LIMIT_REACHED: b"[SYS/TEMP] too busy, try again later",
    Kind.IN_USE: b"[IN-USE] Mailbox Locked",
    Kind.UNAVAILABLE: b"[SYS/TEMP] mail storage is not available, try again later",
    Kind.STORAGE_FULL: b"[SYS/TEMP] mail storage is full, try again later",
    Kind.INTERNAL: b"[SYS/TEMP] internal error, try again later",
}


def failure(kind: Kind) -> Reply:
    """What the domain could not do (house style section 7)."""
    return _refusal(_FAILURES[kind])


# ---------------------------------------------------------------- before and around a session


def greeting(hostname: str, stamp: bytes) -> Reply:
    """RFC 1939 §4; with a stamp, APOP is offered (§7)."""
    return _ok(b"%s POP3 server on %s ready%s" % (PRODUCT.encode(), hostname.encode(), b" " + stamp if stamp else b""))


def too_many() -> bytes:
    return b"-ERR [SYS/TEMP] %s POP3 Server is too busy - try again later\r\n" % PRODUCT.encode()


def too_many_from_address() -> bytes:
    return b"-ERR [SYS/TEMP] Too many connections from your IP address - try again later\r\n"


def not_allowed() -> bytes:
    """Spec services 1.4."""
    return b"-ERR [SYS/PERM] %s POP3 Server access not allowed!\r\n" % PRODUCT.encode()


def too_many_errors() -> Reply:
    return Reply(b"-ERR too many wrong commands, good-bye\r\n", ok=False, closes=True)


def too_many_failures() -> Reply:
    """Spec services 3.2."""
    return Reply(b"-ERR [AUTH] invalid name or password, too many attempts\r\n", ok=False, closes=True)


# ---------------------------------------------------------------- what breaks the protocol


def unknown_command() -> Reply:
    return _refusal(b"unknown command")


def bad_arguments(verb: str) -> Reply:
    return _refusal(b"wrong arguments for %s" % verb.encode())


def wrong_state(verb: str, *, logged_in: bool) -> Reply:
    return _refusal(b"%s is not possible %s login" % (verb.encode(), b"after" if logged_in else b"before"))


def user_first() -> Reply:
    return _refusal(b"PASS comes after USER")


def tls_first() -> Reply:
    """Spec services 1.3, mode TLS."""
    return _refusal(b"[SYS/PERM] this service needs encryption: STLS first")


def line_too_long() -> Reply:
    return _refusal(b"the line is too long")


def bad_response() -> Reply:
    return _refusal(b"not base64; the login is cancelled")


def bytes_before_tls() -> Reply:
    """RFC 2595 §4: nothing may follow STLS before the handshake."""
    return Reply(b"-ERR nothing may follow STLS before encryption has begun\r\n", ok=False, closes=True)


# ---------------------------------------------------------------- authorization


def name_accepted() -> Reply:
    """The same for every name: nobody learns which exist."""
    return _ok(b"now the password")


def encryption_needed() -> Reply:
    return _refusal(b"[SYS/PERM] passwords in clear are not accepted: STLS first")


def logged_in(count: int, size: int) -> Reply:
    return _ok(b"maildrop has %d message%s (%d octets)" % (count, b"" if count == 1 else b"s", size))


def apop_not_offered() -> Reply:
    return _refusal(b"APOP is not offered")


def unknown_mechanism() -> Reply:
    return _refusal(b"unknown authentication mechanism")


def challenge(data: bytes) -> Reply:
    """RFC 5034 §4."""
    return Reply(b"+ %s\r\n" % b64encode(data), challenge=True)


def cancelled() -> Reply:
    return _refusal(b"the login is cancelled")


def malformed_exchange() -> Reply:
    return _refusal(b"that is not how this mechanism goes; the login is cancelled")


def login_too_soon(delay_seconds: int) -> Reply:
    """RFC 2449 §8.1.1."""
    return _refusal(b"[LOGIN-DELAY] at least %d seconds must lie between logins" % delay_seconds)


def begin_tls() -> Reply:
    return _ok(b"begin TLS negotiation")


def tls_not_possible() -> Reply:
    return _refusal(b"TLS is not possible here")


def mechanisms(names: Iterable[str]) -> list[Answer]:
    return _lines(b"authentication mechanisms follow", names)


def capabilities(lines: Iterable[str]) -> list[Answer]:
    """RFC 2449 §5."""
    return _lines(b"capabilities follow", lines)


def utf8_on() -> Reply:
    return _ok(b"UTF8 enabled")


def languages() -> list[Answer]:
    """RFC 6856 §3."""
    return _lines(b"language listing follows", (f"{tag} {description}" for tag, description in LANGUAGES))


def language_chosen(tag: str) -> Reply:
    """RFC 6856 §3: the tag comes first."""
    return _ok(b"%s language changed" % tag.encode())


def unknown_language(tag: str) -> Reply:
    return _refusal(b"invalid language %s" % tag.encode())


# ---------------------------------------------------------------- transaction


def status(count: int, size: int) -> Reply:
    return _ok(b"%d %d" % (count, size))


def listing_follows(count: int, size: int) -> Reply:
    return Reply(b"+OK %d message%s (%d octets)\r\n" % (count, b"" if count == 1 else b"s", size), opens_body=True)


def unique_ids_follow() -> Reply:
    return Reply(b"+OK unique-id listing follows\r\n", opens_body=True)


def listed(number: int, size: int) -> Reply:
    return _ok(b"%d %d" % (number, size))


def unique_id(number: int, uid: bytes) -> Reply:
    return _ok(b"%d %s" % (number, uid))


def message_follows(size: int) -> Reply:
    return Reply(b"+OK %d octets\r\n" % size, opens_body=True)


def top_follows() -> Reply:
    return Reply(b"+OK top of message follows\r\n", opens_body=True)


def deleted(number: int) -> Reply:
    return _ok(b"message %d deleted" % number)


def already_deleted(number: int) -> Reply:
    return _refusal(b"message %d already deleted" % number)


def no_such_message(count: int) -> Reply:
    return _refusal(b"no such message, only %d in maildrop" % count)


def nothing_done() -> Reply:
    return _ok(b"")


def restored(count: int, size: int) -> Reply:
    return logged_in(count, size)


# ---------------------------------------------------------------- the end


def good_bye() -> Reply:
    return Reply(b"+OK %s signing off\r\n" % PRODUCT.encode(), closes=True)


def not_all_removed() -> Reply:
    """RFC 1939 §6."""
    return Reply(b"-ERR [SYS/TEMP] some deleted messages not removed\r\n", ok=False, closes=True)


def _ok(text: bytes) -> Reply:
    return Reply(b"+OK %s\r\n" % text if text else b"+OK\r\n")


def _refusal(text: bytes) -> Reply:
    return Reply(b"-ERR %s\r\n" % text, ok=False)


def _lines(text: bytes, lines: Iterable[str]) -> list[Answer]:
    body = b"".join(b"%s\r\n" % line.encode() for line in lines)
    return [Reply(b"+OK %s\r\n" % text, opens_body=True), Piece(body), END]
