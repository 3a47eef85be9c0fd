# SPDX-License-Identifier: MIT
"""The message that tells a sender what became of his: for people, for programs, and what it was.

RFC 3464 (the report), RFC 6522 (its three parts), RFC 3461 §6 (which parameters of the sender's it carries), RFC 6533
(addresses beyond ASCII), RFC 3834 §5 and RFC 5321 §6.1 (nobody is to answer it: Auto-Submitted, null reverse path).
Pure. The original may be large, so the report comes piece by piece.

Programs read ASCII only: what a server said beyond it is escaped there, and stands unchanged in the part for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from zoneinfo import ZoneInfo

from mailserver.addressing.syntax import format_mailbox
from mailserver.mime.dates import format_date
from mailserver.outqueue.explanations import explain
from mailserver.outqueue.outcome import Action
from mailserver.spans import format_span
from mailserver.values import Address, ContentId, DsnReturn

SENDER_NAME = "Mail delivery"
MAX_LINE = 900
"""RFC 5322 §2.1.1 allows 998."""


@dataclass(frozen=True, slots=True)
class ReportedOne:
    """A recipient, and what became of it. `original_recipient` is `type;xtext` as it came.

    `remote`: the reply is the server's own words.
    """

    address: Address
    original_recipient: str = ""
    reply: str = ""
    status: str = ""
    server: str = ""
    remote: bool = False
    tried: datetime | None = None
    given_up: bool = False
    """The last reply was a temporary one; it was time, or a script, that ended the tries."""


@dataclass(frozen=True, slots=True)
class Original:
    """The message that the report is about."""

    ref: str
    sender: Address
    subject: str
    message_id: str
    queued: datetime
    header: bytes
    envelope_id: str = ""
    smtputf8: bool = False
    eight_bit: bool = False
    """There is something beyond ASCII in what is returned."""


@dataclass(frozen=True, slots=True)
class Report:
    """All there is to say. `expires` is when a message that is late will be given up."""

    ref: str
    action: Action
    original: Original
    recipients: tuple[ReportedOne, ...]
    hostname: str
    domain: str
    written: datetime
    expires: datetime | None = None
    zone: str = "UTC"
    """The office's time zone, for the part that people read."""


@dataclass(frozen=True, slots=True)
class DueReport:
    """One sender is to be told of some recipients of one message."""

    ref: str
    action: Action
    rows: tuple[int, ...]
    recipients: tuple[ReportedOne, ...]
    sender: Address
    content: ContentId
    size: int
    subject: str
    queued: datetime
    dsn_return: DsnReturn | None
    envelope_id: str
    smtputf8: bool
    expires: datetime | None


_SUBJECTS = {
    Action.FAILED: "Not delivered: ",
    Action.DELAYED: "Delayed: ",
    Action.RELAYED: "Passed on: ",
    Action.DELIVERED: "Delivered: ",
}
_OPENINGS = {
    Action.FAILED: "Your message could not be delivered to {whom}.",
    Action.DELAYED: "Your message has not been delivered yet to {whom}. There is nothing you need to do.",
    Action.RELAYED: (
        "You wanted to know when your message is delivered. It has been passed on for {whom} to a server that cannot"
        " tell whether it arrives. Most likely you will hear nothing more about it."
    ),
    Action.DELIVERED: "Your message has been put into the mailbox of {whom}.",
}


def compose(report: Report, whole: Iterable[bytes] | None = None) -> Iterator[bytes]:
    """The report in pieces, without Return-Path. `whole` is the original to return; without it its header is.

    The pieces end in CRLF, and are never empty.
    """
    boundary = f"=_{report.ref}"
    opening = f"--{boundary}\r\n".encode()
    yield _header(report, boundary)
    yield opening + _text_part(report)
    yield opening + _status_part(report)
    yield opening + _original_header(report.original, whole=whole is not None)
    ending = b""
    if whole is None:
        yield report.original.header
        ending = report.original.header[-2:]
    else:
        for piece in whole:
            if piece:
                yield piece
                ending = (ending + piece)[-2:]
    yield (b"" if ending == b"\r\n" else b"\r\n") + f"\r\n--{boundary}--\r\n".encode()


def needs_utf8(report: Report) -> bool:
    """Whether the report can only be sent with SMTPUTF8: its own recipient's address is beyond ASCII."""
    return not str(report.original.sender).isascii()


# ---------------------------------------------------------------- the header


def _header(report: Report, boundary: str) -> bytes:
    message = EmailMessage(policy=SMTPUTF8 if needs_utf8(report) else SMTP)
    sender = report.original.sender
    message["From"] = HeaderAddress(SENDER_NAME, "postmaster", report.domain)
    message["To"] = HeaderAddress("", sender.local, sender.domain)
    message["Subject"] = _SUBJECTS[report.action] + (_one_line(report.original.subject)[:200] or "(no subject)")
    message["Date"] = format_date(report.written)
    message["Message-ID"] = f"<{report.ref}@{report.domain}>"
    message["Auto-Submitted"] = "auto-replied"
    if _MESSAGE_ID.fullmatch(report.original.message_id):
        message["In-Reply-To"] = message["References"] = report.original.message_id
    message["MIME-Version"] = "1.0"
    fields = message.as_bytes().rstrip(b"\r\n") + b"\r\n"
    kind = f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"\r\n\r\n'
    return fields + kind.encode()


# msg-id = "<" id-left "@" id-right ">"; RFC 5322 §3.6.4, without its comments
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,400}>")


# ---------------------------------------------------------------- for people


def _text_part(report: Report) -> bytes:
    part = EmailMessage(policy=SMTP)
    part.set_content("\n".join(_lines(report)) + "\n", charset="utf-8")
    del part["MIME-Version"]
    data = part.as_bytes()
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _lines(report: Report) -> Iterator[str]:
    original, count = report.original, len(report.recipients)
    whom = "this recipient" if count == 1 else f"these {count} recipients"
    yield f"This is the mail server {report.hostname}."
    yield ""
    yield _OPENINGS[report.action].format(whom=whom)
    for one in report.recipients:
        yield ""
        yield from _about(one, report)
    yield ""
    if report.action is Action.DELAYED and report.expires is not None:
        left = format_span((report.expires - report.written).total_seconds())
        yield f"It will be tried again, for another {left} at most. If it still fails then, you will be told."
        yield ""
    yield f"Your message: {_one_line(original.subject) or '(no subject)'}"
    yield f"Sent: {original.queued.astimezone(ZoneInfo(report.zone)):%d %b %Y, %H:%M} ({report.zone})"
    yield f"Its number here, should you need to ask an administrator: {original.ref}"


def _about(one: ReportedOne, report: Report) -> Iterator[str]:
    yield f"<{format_mailbox(one.address)}>"
    if report.action is Action.FAILED:
        if one.given_up:
            tried = format_span((report.written - report.original.queued).total_seconds())
            yield f"    For {tried} it could not be passed on."
        explanation = explain(_status(one, report))
        if explanation:
            yield f"    {explanation}"
    if one.reply:
        said = f"The server {one.server} said" if one.remote and one.server else "What happened"
        last = "Last answer. " if one.given_up or report.action is Action.DELAYED else ""
        yield f"    {last}{said}:"
        for line in one.reply.splitlines():
            yield f"      {line}"


# ---------------------------------------------------------------- for programs


def _status_part(report: Report) -> bytes:
    """RFC 3464 §2: a group of fields about the message, then one for each recipient."""
    original = report.original
    groups = [
        [
            ("Original-Envelope-Id", decode_xtext(original.envelope_id)),
            ("Reporting-MTA", f"dns; {report.hostname}"),
            ("Arrival-Date", format_date(original.queued)),
        ],
        *(_recipient_fields(one, report) for one in report.recipients),
    ]
    written = "\r\n".join("".join(_field(name, value) for name, value in group if value) for group in groups)
    return f"Content-Type: message/delivery-status\r\n\r\n{written}\r\n".encode("ascii")


def _recipient_fields(one: ReportedOne, report: Report) -> Sequence[tuple[str, str]]:
    """RFC 3464 §2.3."""
    kind, _, encoded = one.original_recipient.partition(";")
    expires = report.expires if report.action is Action.DELAYED else None
    return (
        ("Original-Recipient", f"{kind.strip()}; {decode_xtext(encoded)}" if encoded else ""),
        ("Final-Recipient", _typed(one.address)),
        ("Action", report.action.value),
        ("Status", _status(one, report)),
        ("Remote-MTA", f"dns; {one.server}" if one.remote and one.server else ""),
        ("Diagnostic-Code", _diagnostic(one)),
        ("Last-Attempt-Date", format_date(one.tried) if one.tried is not None else ""),
        ("Final-Log-ID", report.original.ref),
        ("Will-Retry-Until", format_date(expires) if expires is not None else ""),
    )


def _status(one: ReportedOne, report: Report) -> str:
    """RFC 3464 §2.3.4: of the class that fits the action. RFC 3463 §3.5: what took too long is 4.7 only where the
    trouble that it met has no code of its own."""
    rest = one.status[1:] or (".4.7" if one.given_up else ".0.0")
    return {Action.FAILED: "5", Action.DELAYED: "4"}.get(report.action, "2") + rest


def _typed(address: Address) -> str:
    """RFC 6533 §3: an address beyond ASCII is of the type utf-8, its characters named by their numbers."""
    text = format_mailbox(address)
    return f"rfc822; {text}" if text.isascii() else f"utf-8; {_numbered(text)}"


def _numbered(text: str) -> str:
    # EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT "}"
    return "".join(
        character if "!" <= character <= "~" and character not in "\\+=" else f"\\x{{{ord(character):X}}}"
        for character in text
    )


def _diagnostic(one: ReportedOne) -> str:
    """RFC 3464 §2.3.6: exactly what the server said. Our own words have a type of our own."""
    if not one.reply:
        return ""
    return f"{'smtp' if one.remote else 'X-Pillarbox'}; {one.reply}"


def _field(name: str, value: str) -> str:
    """Folded where lines end, and where one would be too long; nothing beyond ASCII."""
    text = value.encode("ascii", "backslashreplace").decode()
    lines = [_CONTROLS.sub(" ", line).strip() for line in text.splitlines()]
    pieces = [line[start : start + MAX_LINE] for line in lines if line for start in range(0, len(line), MAX_LINE)]
    return f"{name}: " + "\r\n ".join(pieces) + "\r\n"


_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


def decode_xtext(text: str) -> str:
    """RFC 3461 §4: what the encoded text stands for. What is not in that form stays as it is."""
    data = _HEXCHAR.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
    return _one_line(data.decode("utf-8", "replace"))


# hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")


# ---------------------------------------------------------------- what it was


def _original_header(original: Original, *, whole: bool) -> bytes:
    """RFC 6522 §4; RFC 6533 §6 where the header itself is beyond ASCII."""
    utf8 = original.smtputf8 and not original.header.isascii()
    if whole:
        kind = "message/global" if utf8 else "message/rfc822"
    else:
        kind = "message/global-headers" if utf8 else "text/rfc822-headers"
    beyond = original.eight_bit if whole else not original.header.isascii()
    encoding = "8bit" if beyond else "7bit"
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())
