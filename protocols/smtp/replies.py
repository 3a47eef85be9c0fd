# SPDX-License-Identifier: MIT
"""Every reply that this server gives in SMTP, and nowhere else. Whole lines, as they go out.

RFC 5321 §4.2, RFC 2034 §4 and RFC 3463 (enhanced codes), RFC 4954 §6, RFC 3207 §4. Texts that administrators know
from the product this one follows are kept word for word (spec smtp-server 9).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from mailserver.errors import Kind
from mailserver.pipeline.verdict import Refuse
from protocols.smtp.data import Fault
from protocols.smtp.grammar import GrammarError, Wrong

PRODUCT = "Pillarbox"
MAX_REPLY_TEXT = 480
"""RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, with its codes and CRLF."""


def _reply(code: int, status: str, *lines: str) -> bytes:
    """One reply: code, enhanced code (empty for none), and one or more lines of text."""
    front = f"{status} " if status else ""
    last = len(lines) - 1
    return b"".join(
        f"{code}{' ' if number == last else '-'}{front}{line}\r\n".encode("ascii", "replace")
        for number, line in enumerate(lines)
    )


# ---------------------------------------------------------------- the session


def greeting(hostname: str) -> bytes:
    return _reply(220, "", f"{hostname} ESMTP {PRODUCT}")


def hello(hostname: str, client: str) -> bytes:
    """To HELO."""
    return _reply(250, "", f"{hostname} greets {client}")


def extended_hello(hostname: str, client: str, keywords: Sequence[str]) -> bytes:
    """To EHLO (RFC 5321 §4.1.1.1)."""
    return _reply(250, "", f"{hostname} greets {client}", *keywords)


def goodbye(hostname: str) -> bytes:
    return _reply(221, "2.0.0", f"{hostname} Goodbye")


def timed_out(hostname: str) -> bytes:
    return _reply(421, "4.4.2", f"{hostname} Timeout, closing the connection")


def shutting_down(hostname: str) -> bytes:
    return _reply(421, "4.3.2", f"{hostname} Service shutting down")


def closing_for_fault(hostname: str) -> bytes:
    """After a bug of ours: nothing of the session can be relied on."""
    return _reply(421, "4.3.0", f"{hostname} Internal error, closing the connection")


def too_many_errors(hostname: str) -> bytes:
    return _reply(421, "4.7.0", f"{hostname} Too many errors, closing the connection")


def too_many_failed_logins(hostname: str) -> bytes:
    return _reply(421, "4.7.0", f"{hostname} Too many failed logins, closing the connection")


def too_many_from_address() -> bytes:
    return _reply(421, "4.3.2", f"{PRODUCT} Too many connections from your IP address - try later")


def too_many() -> bytes:
    return _reply(421, "4.3.2", f"{PRODUCT} Too many connections - try later")


def not_allowed() -> bytes:
    """In place of the greeting (RFC 5321 §3.1)."""
    return _reply(554, "5.7.1", f"{PRODUCT} SMTP Server access not allowed!")


# ---------------------------------------------------------------- commands

OK = _reply(250, "2.0.0", "Ok")
SENDER_OK = _reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = _reply(250, "2.1.5", "Recipient ok")
START_DATA = _reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = _reply(220, "2.0.0", "Ready to start TLS")
LOGGED_IN = _reply(235, "2.7.0", "Authentication successful")
CANNOT_VERIFY = _reply(252, "2.0.0", "Cannot verify; send the message and delivery will be tried")

UNKNOWN_COMMAND = _reply(500, "5.5.1", "Command not recognised")
NOT_IMPLEMENTED = _reply(502, "5.5.1", "Command not implemented")
NO_ARGUMENT = _reply(501, "5.5.4", "This command takes no argument")
NEEDS_HELLO = _reply(501, "5.5.4", "Give your host name: EHLO name")
HELLO_FIRST = _reply(503, "5.5.1", "Say EHLO or HELO first")
NESTED_MAIL = _reply(503, "5.5.1", "A message is already begun; RSET gives it up")
MAIL_FIRST = _reply(503, "5.5.1", "MAIL FROM comes first")
RCPT_FIRST = _reply(503, "5.5.1", "RCPT TO comes first")
NO_VALID_RECIPIENTS = _reply(554, "5.5.1", "No valid recipients")
HELLO_REFUSED = _reply(550, "5.7.1", "Connection refused")

TLS_FIRST = _reply(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_ACTIVE = _reply(503, "5.5.1", "TLS is already in use")
TLS_NOT_AVAILABLE = _reply(454, "4.7.0", "TLS not available")
COMMANDS_BEHIND_STARTTLS = _reply(503, "5.5.1", "Nothing may follow STARTTLS before the handshake")

AUTHENTICATION_REQUIRED = _reply(530, "5.7.0", "Authentication required")
ALREADY_LOGGED_IN = _reply(503, "5.5.1", "Already authenticated")
LOGIN_DURING_MESSAGE = _reply(503, "5.5.1", "Authentication is not possible during a message")
UNKNOWN_MECHANISM = _reply(504, "5.5.4", "Unrecognised authentication type")
ENCRYPTION_NEEDED = _reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
NEEDS_MECHANISM = _reply(501, "5.5.4", "Name a mechanism: AUTH mechanism [initial-response]")
LOGIN_CANCELLED = _reply(501, "5.7.0", "Authentication cancelled")
NOT_BASE64 = _reply(501, "5.5.2", "Cannot decode base64")
MALFORMED_LOGIN = _reply(501, "5.5.2", "Malformed authentication response")
LOGIN_LINE_TOO_LONG = _reply(500, "5.5.6", "Authentication exchange line is too long")
LOGIN_NOT_POSSIBLE_NOW = _reply(454, "4.7.0", "Temporary authentication failure")

RELAYING_DENIED = _reply(550, "5.7.1", "Relaying not allowed! Bad sender IP address")
INTERNAL_MAIL_ONLY = _reply(550, "5.7.1", "You may send internal mail only")
USER_UNKNOWN = _reply(550, "5.1.1", "User unknown")
PERCENT_REFUSED = _reply(550, "5.1.3", "Addresses with % are not accepted")
TOO_MANY_RECIPIENTS = _reply(452, "4.5.3", "Too many recipients")
MESSAGE_TOO_LARGE = _reply(552, "5.2.3", "Message too large - contact your administrator")


def challenge(data: bytes) -> bytes:
    """RFC 4954 §4: the blank stays also when there is nothing behind it."""
    return b"334 " + b64encode(data) + b"\r\n"


def filed(ref: str) -> bytes:
    """Everybody who gets the message is local."""
    return _reply(250, "2.0.0", f"Ok: filed as {ref}")


def queued(ref: str) -> bytes:
    """Some of the message goes out."""
    return _reply(250, "2.0.0", f"Ok: queued as {ref}")


def verified(address: str) -> bytes:
    """To VRFY of somebody who is here."""
    return _reply(250, "2.1.5", f"<{address}>")


def help_overview(verbs: Sequence[str]) -> bytes:
    return _reply(214, "2.0.0", f"{PRODUCT} understands:", " ".join(verbs), "HELP <command> tells more")


def help_on(syntax: str) -> bytes:
    return _reply(214, "2.0.0", f"Syntax: {syntax}")


HELP_UNKNOWN = _reply(504, "5.5.4", "No help on that; HELP lists the commands")


def refused(verdict: Refuse) -> bytes:
    """What a stage or a script decided; its text is made fit for a line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in verdict.text).split())
    return _reply(verdict.code, verdict.status, text[:MAX_REPLY_TEXT] or "Refused")


# ---------------------------------------------------------------- what went wrong

_WRONG: dict[Wrong, tuple[int, str]] = {
    Wrong.LINE_END: (500, "5.5.2"),
    Wrong.LINE_LENGTH: (500, "5.5.2"),
    Wrong.COMMAND: (500, "5.5.2"),
    Wrong.ARGUMENT: (501, "5.5.4"),
    Wrong.SENDER: (501, "5.1.7"),
    Wrong.RECIPIENT: (501, "5.1.3"),
    Wrong.UNKNOWN_PARAMETER: (555, "5.5.4"),
    Wrong.NEEDS_SMTPUTF8: (553, "5.6.7"),
}


def misunderstood(error: GrammarError) -> bytes:
    """What the peer typed is not what the grammar asks for."""
    code, status = _WRONG[error.wrong]
    return _reply(code, status, error.reason)


DATA_FAULTS: dict[Fault, bytes] = {
    Fault.LINE_TOO_LONG: _reply(554, "5.6.0", "A line of the message is too long"),
    Fault.TOO_BIG: MESSAGE_TOO_LARGE,
    Fault.NUL: _reply(554, "5.6.0", "The message contains NUL characters"),
    Fault.BARE_NEWLINE: _reply(550, "5.6.0", "The message contains a bare CR or LF; lines end in CRLF"),
    Fault.SMUGGLING: _reply(550, "5.5.2", "False end of data: a dot between line ends that are not CRLF"),
}

FAILURES: dict[Kind, bytes] = {
    Kind.NOT_FOUND: USER_UNKNOWN,
    Kind.EXISTS: _reply(451, "4.3.0", "Requested action aborted: local error"),
    Kind.FORBIDDEN: _reply(550, "5.7.1", "Not permitted"),
    Kind.BAD_CREDENTIALS: _reply(535, "5.7.8", "Authentication credentials invalid"),
    Kind.OVER_QUOTA: _reply(452, "4.2.2", "Mailbox full"),
    Kind.TOO_BIG: _reply(552, "5.3.4", "Message too big for system"),
    Kind.LIMIT_REACHED: _reply(450, "4.7.1", "Limit reached, try later"),
    Kind.IN_USE: _reply(450, "4.2.0", "Mailbox in use, try later"),
    Kind.UNAVAILABLE: _reply(451, "4.3.0", "Temporarily unavailable, try later"),
    Kind.STORAGE_FULL: _reply(452, "4.3.1", "Insufficient system storage"),
    Kind.INTERNAL: _reply(451, "4.3.0", "Requested action aborted: local error"),
}
"""The wire form of every failure of the domain (house style section 7)."""
