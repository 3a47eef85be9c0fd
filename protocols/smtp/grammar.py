# SPDX-License-Identifier: MIT
"""SMTP commands as text: verbs, paths and parameters. Leaves what they mean here to `handler.py`.

RFC 5321 §4.1.1 and §4.1.2, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 3461 §4 (RET, ENVID, NOTIFY,
ORCPT), RFC 6533 §3 (ORCPT with utf-8), RFC 4954 §5 (AUTH=). Pure.

More is accepted than the ABNF says only where a `Quirk:` names who needs it. Source routes are accepted and ignored,
as RFC 5321 appendix F.2 asks.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from mailserver.addressing.syntax import DOT_STRING, BadDomain, parse_domain
from mailserver.values import Address, DsnNotify, DsnReturn

MAX_LOCAL_OCTETS = 64
"""RFC 5321 §4.5.3.1.1."""
MAX_PATH_OCTETS = 256
"""RFC 5321 §4.5.3.1.3, with the angle brackets."""
MAX_ENVELOPE_ID = 100
"""RFC 3461 §4.4."""
MAX_ORIGINAL_RECIPIENT = 500
"""RFC 3461 §4.2."""

MAIL_KEYWORDS = frozenset({"SIZE", "BODY", "SMTPUTF8", "AUTH"})
MAIL_DSN_KEYWORDS = frozenset({"RET", "ENVID"})
RCPT_DSN_KEYWORDS = frozenset({"NOTIFY", "ORCPT"})


class Wrong(enum.Enum):
    """What a peer got wrong; `replies.py` has the reply to each."""

    LINE_END = "line end"
    LINE_LENGTH = "line length"
    COMMAND = "command"
    ARGUMENT = "argument"
    SENDER = "sender"
    RECIPIENT = "recipient"
    UNKNOWN_PARAMETER = "unknown parameter"
    NEEDS_SMTPUTF8 = "needs SMTPUTF8"


class GrammarError(Exception):
    """The text is not what the grammar asks for; `reason` may be told to the peer."""

    def __init__(self, wrong: Wrong, reason: str) -> None:
        super().__init__(reason)
        self.wrong = wrong
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Command:
    """A verb in upper case and what follows it, without the blanks around."""

    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL FROM. `reverse_path` is None for `<>`; `envelope_id` is kept in xtext."""

    reverse_path: Address | None
    size: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    dsn_return: DsnReturn | None = None
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT TO. `<Postmaster>` has no domain (RFC 5321 §4.5.1); `original_recipient` is kept in xtext."""

    address: Address
    notify: frozenset[DsnNotify] = frozenset()
    original_recipient: str = ""


# command = verb [SP argument]; RFC 5321 §2.4: verbs are letters, in any case.
_COMMAND = re.compile(r"([A-Za-z]+)(?:[ \t]+([^\r\n\0]*))?")
_BEYOND_ASCII = r"\u00a0-\ud7ff\ue000-\U0010ffff"
# At-domain, one or more, in front of the mailbox: A-d-l = At-domain *("," At-domain)
_AT_DOMAIN = r"@(?:\[[^\[\]\s]*\]|[^\s,:<>@\[\]]+)"
# Mailbox = Local-part "@" (Domain / address-literal); Local-part = Dot-string / Quoted-string
_MAILBOX = (
    rf"(?:(?P<dotted>{DOT_STRING}(?:\.{DOT_STRING})*)"
    rf'|"(?P<quoted>(?:[ !#-\[\]-~{_BEYOND_ASCII}]|\\[ -~])*)")'
    r"@(?P<domain>\[[^\[\]\\\s]*\]|[^\s<>@\[\]\\\",:;()]+)"
)
_PATH = re.compile(rf"<(?:{_AT_DOMAIN}(?:,{_AT_DOMAIN})*:)?{_MAILBOX}>")
# Quirk: paths without angle brackets, which older scanners and printers send.
_BARE_PATH = re.compile(rf"{_MAILBOX}(?=[ \t]|$)")
_POSTMASTER = re.compile(r"<(postmaster)>", re.IGNORECASE)
# Quirk: blanks behind the colon (RFC 5321 §3.3 forbids them; many programs send one).
_FROM = re.compile(r"FROM:[ \t]*", re.IGNORECASE)
_TO = re.compile(r"TO:[ \t]*", re.IGNORECASE)
# esmtp-param = esmtp-keyword ["=" esmtp-value]
_PARAMETER = re.compile(rf"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~{_BEYOND_ASCII}]+))?")
# xtext = *(xchar / hexchar); RFC 3461 §4
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
# ORCPT=addr-type ";" xtext; RFC 6533 §3 lets the type utf-8 go beyond ASCII.
_ORIGINAL_RECIPIENT = re.compile(rf"([A-Za-z0-9-]+);([!-<>-~{_BEYOND_ASCII}]+)")


def parse_command(line: bytes) -> Command:
    """A command line without its CRLF. Bytes that are not UTF-8 survive as surrogates, which no path accepts."""
    text = line.decode("utf-8", "surrogateescape")
    match = _COMMAND.fullmatch(text)
    if match is None:
        raise GrammarError(Wrong.COMMAND, "Command not understood")
    return Command(match[1].upper(), (match[2] or "").rstrip(" \t"))


def parse_mail_from(argument: str, keywords: frozenset[str]) -> MailFrom:
    """What follows MAIL; `keywords` are the parameters on offer."""
    opening = _FROM.match(argument)
    if opening is None:
        raise GrammarError(Wrong.ARGUMENT, "Write MAIL FROM:<address>")
    rest = argument[opening.end() :]
    if rest.startswith("<>"):
        path, end = None, 2
    else:
        path, end = _parse_path(rest, Wrong.SENDER)
    parameters = _parse_parameters(rest[end:], keywords)
    mail_from = _read_mail_parameters(path, parameters)
    if not mail_from.smtputf8 and not rest[:end].isascii():
        raise GrammarError(Wrong.NEEDS_SMTPUTF8, "The address needs SMTPUTF8")
    return mail_from


def parse_rcpt_to(argument: str, keywords: frozenset[str], *, smtputf8: bool) -> RcptTo:
    """What follows RCPT, in a transaction that asked for SMTPUTF8 or did not."""
    opening = _TO.match(argument)
    if opening is None:
        raise GrammarError(Wrong.ARGUMENT, "Write RCPT TO:<address>")
    rest = argument[opening.end() :]
    postmaster = _POSTMASTER.match(rest)
    if postmaster is not None:
        path, end = Address(postmaster[1], ""), postmaster.end()
    else:
        path, end = _parse_path(rest, Wrong.RECIPIENT)
    if not smtputf8 and not rest[:end].isascii():
        raise GrammarError(Wrong.NEEDS_SMTPUTF8, "The address needs SMTPUTF8")
    parameters = _parse_parameters(rest[end:], keywords)
    return RcptTo(
        path,
        notify=_parse_notify(parameters.get("NOTIFY")),
        original_recipient=_parse_original_recipient(parameters.get("ORCPT")),
    )


def parse_mailbox(text: str) -> Address:
    """A mailbox with or without angle brackets, as VRFY takes it. Raises GrammarError."""
    path, end = _parse_path(text, Wrong.ARGUMENT)
    if text[end:].strip():
        raise GrammarError(Wrong.ARGUMENT, "Write one address")
    return path


def decode_xtext(text: str) -> bytes:
    """RFC 3461 §4: the bytes that xtext stands for. Raises GrammarError."""
    if _XTEXT.fullmatch(text) is None:
        raise GrammarError(Wrong.ARGUMENT, "A parameter is not in xtext form")
    return _HEXCHAR.sub(lambda found: bytes([int(found[1], 16)]), text.encode("ascii"))


def _parse_path(text: str, wrong: Wrong) -> tuple[Address, int]:
    """The mailbox at the start of the text, and where it ends."""
    match = _PATH.match(text) if text.startswith("<") else _BARE_PATH.match(text)
    if match is None:
        raise GrammarError(wrong, "Bad address syntax")
    local = match["dotted"]
    if local is None:
        local = re.sub(r"\\(.)", r"\1", match["quoted"])
    if len(local.encode("utf-8")) > MAX_LOCAL_OCTETS:
        raise GrammarError(wrong, "Local part too long")
    if len(f"<{local}@{match['domain']}>".encode("utf-8", "replace")) > MAX_PATH_OCTETS:
        raise GrammarError(wrong, "Path too long")
    try:
        return Address(local, parse_domain(match["domain"])), match.end()
    except BadDomain:
        raise GrammarError(wrong, "Bad domain syntax") from None


def _parse_parameters(text: str, keywords: frozenset[str]) -> dict[str, str | None]:
    """Parameters by keyword in upper case; each at most once, none that is not on offer."""
    if not text:
        return {}
    if text[0] not in " \t":
        raise GrammarError(Wrong.ARGUMENT, "A blank must follow the address")
    parameters: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise GrammarError(Wrong.ARGUMENT, "Bad parameter syntax")
        keyword = match[1].upper()
        if keyword not in keywords:
            raise GrammarError(Wrong.UNKNOWN_PARAMETER, f"{keyword} is not recognised here")
        if keyword in parameters:
            raise GrammarError(Wrong.ARGUMENT, f"{keyword} is given twice")
        parameters[keyword] = match[2]
    return parameters


def _read_mail_parameters(path: Address | None, parameters: dict[str, str | None]) -> MailFrom:
    if not parameters:
        return MailFrom(path)
    if "SMTPUTF8" in parameters and parameters["SMTPUTF8"] is not None:
        raise GrammarError(Wrong.ARGUMENT, "SMTPUTF8 takes no value")
    if "AUTH" in parameters:
        _check_submitter(parameters["AUTH"])
    return MailFrom(
        path,
        size=_parse_size(parameters["SIZE"]) if "SIZE" in parameters else None,
        eight_bit=_parse_body(parameters["BODY"]) if "BODY" in parameters else False,
        smtputf8="SMTPUTF8" in parameters,
        dsn_return=_parse_return(parameters["RET"]) if "RET" in parameters else None,
        envelope_id=_parse_envelope_id(parameters["ENVID"]) if "ENVID" in parameters else "",
    )


def _parse_size(value: str | None) -> int:
    """RFC 1870 §3: size-value = 1*20DIGIT."""
    if value is None or re.fullmatch(r"[0-9]{1,20}", value) is None:
        raise GrammarError(Wrong.ARGUMENT, "SIZE takes a number of bytes")
    return int(value)


def _parse_body(value: str | None) -> bool:
    """RFC 6152 §2: whether 8BITMIME was declared."""
    if value is None or value.upper() not in ("7BIT", "8BITMIME"):
        raise GrammarError(Wrong.ARGUMENT, "BODY is 7BIT or 8BITMIME")
    return value.upper() == "8BITMIME"


def _parse_return(value: str | None) -> DsnReturn:
    try:
        return DsnReturn((value or "").upper())
    except ValueError:
        raise GrammarError(Wrong.ARGUMENT, "RET is FULL or HDRS") from None


def _parse_envelope_id(value: str | None) -> str:
    """RFC 3461 §4.4: xtext that stands for printable ASCII."""
    if value is None or len(value) > MAX_ENVELOPE_ID:
        raise GrammarError(Wrong.ARGUMENT, f"ENVID takes 1 to {MAX_ENVELOPE_ID} characters")
    if not all(32 <= byte <= 126 for byte in decode_xtext(value)):
        raise GrammarError(Wrong.ARGUMENT, "ENVID must be printable")
    return value


def _check_submitter(value: str | None) -> None:
    """RFC 4954 §5: checked, and otherwise ignored, because nobody outside is trusted to name a submitter."""
    if value is None:
        raise GrammarError(Wrong.ARGUMENT, "AUTH takes an address")
    decode_xtext(value)


def _parse_notify(value: str | None) -> frozenset[DsnNotify]:
    """RFC 3461 §4.1: NEVER alone, or a list of the others."""
    if value is None:
        return frozenset()
    try:
        notify = [DsnNotify(word) for word in value.upper().split(",")]
    except ValueError:
        raise GrammarError(Wrong.ARGUMENT, "NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY") from None
    if DsnNotify.NEVER in notify and len(notify) > 1:
        raise GrammarError(Wrong.ARGUMENT, "NOTIFY=NEVER stands alone")
    return frozenset(notify)


def _parse_original_recipient(value: str | None) -> str:
    if value is None:
        return ""
    match = _ORIGINAL_RECIPIENT.fullmatch(value)
    if match is None or len(value) > MAX_ORIGINAL_RECIPIENT:
        raise GrammarError(Wrong.ARGUMENT, "ORCPT is a type and an address in xtext")
    if match[1].lower() != "utf-8":
        decode_xtext(match[2])
    return value
