# SPDX-License-Identifier: MIT
"""POP3 lines to commands and back.

RFC 1939 §3 and §9, RFC 2449 §4 (command syntax), RFC 5034 §4 (AUTH), RFC 6856 §2.2 (UTF-8 in USER and PASS).
Pure; lines come without their line end.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable

from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    Lang,
    List,
    ListMechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    SaslCancel,
    SaslResponse,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)


class UnknownCommand(Exception):
    """There is no such keyword."""


class BadArguments(Exception):
    """The keyword is known; what follows it does not fit."""


# RFC 1939 §3: arguments may be up to 40 octets, but a message number above this is never given out.
_NUMBER = re.compile(rb" *([0-9]{1,10}) *")
_TWO_NUMBERS = re.compile(rb" *([0-9]{1,10}) +([0-9]{1,10}) *")
# RFC 1939 §7: apop = "APOP" name digest, the digest in lower-case hexadecimal; upper case does no harm.
_APOP = re.compile(rb" *(.*[^ ]) +([0-9a-fA-F]{32}) *")
# RFC 4422 §3.1: sasl-mech = 1*20mech-char; RFC 5034 §4: the initial response is base64 or "=".
_AUTH = re.compile(rb" *([A-Za-z0-9_-]{1,20})(?: +([A-Za-z0-9+/=]+))? *")
# RFC 6856 §3: a language range of RFC 4647 §2.1, or "*".
_LANGUAGE = re.compile(rb" *([A-Za-z0-9-]{1,60}|\*) *")


def parse_command(line: bytes) -> Command:
    """The command of this line. Raises UnknownCommand, BadArguments."""
    verb, _, rest = line.partition(b" ")
    parse = _PARSERS.get(verb.upper())
    if parse is None:
        raise UnknownCommand
    if b"\0" in rest:
        raise BadArguments
    return parse(rest)


def parse_response(line: bytes) -> SaslResponse | SaslCancel:
    """A line of an AUTH exchange (RFC 5034 §4). Raises BadArguments."""
    if line == b"*":
        return SaslCancel()
    return SaslResponse(_from_base64(line))


def format_command(command: Command) -> bytes:
    """The line that `parse_command` (`parse_response` in an AUTH exchange) reads as this command, CRLF included."""
    words = _format_words(command)
    return b" ".join(words) + b"\r\n"


def format_for_log(command: Command) -> bytes:
    """The command as the transcript may show it: without anything that logs in."""
    match command:
        case Pass():
            return b"PASS ***"
        case Apop(name, _):
            return b"APOP %s ***" % name.encode()
        case Auth(mechanism, initial):
            return b"AUTH %s%s" % (mechanism.encode(), b"" if initial is None else b" ***")
        case SaslResponse():
            return b"***"
        case _:
            return format_command(command).rstrip(b"\r\n")


def _format_words(command: Command) -> tuple[bytes, ...]:
    verb = command.verb.encode()
    match command:
        case User(text) | Pass(text) | Lang(str(text)):
            return verb, text.encode()
        case Apop(name, digest):
            return verb, name.encode(), digest.encode()
        case Auth(mechanism, None):
            return verb, mechanism.encode()
        case Auth(mechanism, bytes(initial)):
            return verb, mechanism.encode(), b64encode(initial) or b"="
        case SaslResponse(data):
            return (b64encode(data),)
        case SaslCancel():
            return (b"*",)
        case List(int(number)) | Uidl(int(number)) | Retr(number) | Dele(number):
            return verb, b"%d" % number
        case Top(number, lines):
            return verb, b"%d" % number, b"%d" % lines
        case _:
            return (verb,)


def _parse_user(rest: bytes) -> User:
    return User(_decode(rest.strip(b" ")))


def _parse_pass(rest: bytes) -> Pass:
    """All of the line: spaces belong to the password (RFC 1939 §7)."""
    return Pass(_decode(rest))


def _parse_apop(rest: bytes) -> Apop:
    found = _fit(_APOP, rest)
    return Apop(_decode(found[1]), found[2].decode().lower())


def _parse_auth(rest: bytes) -> Auth | ListMechanisms:
    if not rest.strip(b" "):
        return ListMechanisms()
    found = _fit(_AUTH, rest)
    initial: bytes | None = found[2]
    if initial is not None:
        initial = b"" if initial == b"=" else _from_base64(initial)
    return Auth(found[1].decode().upper(), initial)


def _parse_list(rest: bytes) -> List:
    return List(_parse_optional_number(rest))


def _parse_uidl(rest: bytes) -> Uidl:
    return Uidl(_parse_optional_number(rest))


def _parse_retr(rest: bytes) -> Retr:
    return Retr(int(_fit(_NUMBER, rest)[1]))


def _parse_dele(rest: bytes) -> Dele:
    return Dele(int(_fit(_NUMBER, rest)[1]))


def _parse_top(rest: bytes) -> Top:
    found = _fit(_TWO_NUMBERS, rest)
    return Top(int(found[1]), int(found[2]))


def _parse_lang(rest: bytes) -> Lang:
    return Lang(_fit(_LANGUAGE, rest)[1].decode() if rest.strip(b" ") else None)


def _bare(make: Callable[[], Command]) -> Callable[[bytes], Command]:
    """For commands without arguments."""

    def parse(rest: bytes) -> Command:
        if rest.strip(b" "):
            raise BadArguments
        return make()

    return parse


_PARSERS: dict[bytes, Callable[[bytes], Command]] = {
    b"USER": _parse_user,
    b"PASS": _parse_pass,
    b"APOP": _parse_apop,
    b"AUTH": _parse_auth,
    b"STLS": _bare(Stls),
    b"CAPA": _bare(Capa),
    b"STAT": _bare(Stat),
    b"LIST": _parse_list,
    b"UIDL": _parse_uidl,
    b"RETR": _parse_retr,
    b"TOP": _parse_top,
    b"DELE": _parse_dele,
    b"NOOP": _bare(Noop),
    b"RSET": _bare(Rset),
    b"QUIT": _bare(Quit),
    b"UTF8": _bare(Utf8),
    b"LANG": _parse_lang,
}


def _parse_optional_number(rest: bytes) -> int | None:
    return int(_fit(_NUMBER, rest)[1]) if rest.strip(b" ") else None


def _fit(pattern: re.Pattern[bytes], rest: bytes) -> re.Match[bytes]:
    found = pattern.fullmatch(rest)
    if found is None:
        raise BadArguments
    return found


def _decode(data: bytes) -> str:
    """Names and passwords are UTF-8 (RFC 6856 §2.2), and never empty."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadArguments from None
    if not text:
        raise BadArguments
    return text


def _from_base64(data: bytes) -> bytes:
    try:
        return b64decode(data, validate=True)
    except binascii.Error:
        raise BadArguments from None
