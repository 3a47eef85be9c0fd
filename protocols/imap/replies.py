# SPDX-License-Identifier: MIT
"""How a command ends: status responses, their codes, and the table from failure to wire text.

RFC 9051 §7.1, RFC 5530 (codes), and the codes of the extensions. Data responses stand in `untagged.py` and
`fetch_data.py`. Every word that a client can read is in one of these three. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailserver.errors import Kind, MailError
from protocols.imap.commands import Command
from protocols.imap.sequence import NumberSet, format_number_set
from protocols.imap.wire import CRLF, format_astring, format_flags

PRODUCT = "Pillarbox"


class Status(enum.Enum):
    OK = "OK"
    NO = "NO"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Completion:
    """The tagged response that ends a command (RFC 9051 §7.1). `code` is without its brackets."""

    tag: str
    status: Status
    text: str
    code: bytes = b""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A command continuation request (RFC 9051 §7.6): a challenge in base64, or words for a person."""

    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Proceed:
    """Go on with the literal: a continuation request, if the client waits for one."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The server ends the connection (RFC 9051 §7.1.5)."""

    text: str
    code: bytes = b""


Reply = Completion | Continuation | Proceed | Bye

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def format_reply(reply: Completion | Continuation | Bye) -> bytes:
    if isinstance(reply, Continuation):
        return b"+ " + reply.text + CRLF
    if isinstance(reply, Bye):
        return _line("*", "BYE", reply.code, reply.text)
    return _line(reply.tag, reply.status.value, reply.code, reply.text)


def _line(tag: str, status: str, code: bytes, text: str) -> bytes:
    """resp-text must hold at least one character of text, and only ASCII (RFC 9051 §9)."""
    coded = b"[%s] " % code if code else b""
    words = _UNPRINTABLE.sub("?", text) or "."
    return f"{tag} {status} ".encode("ascii") + coded + words.encode("ascii") + CRLF


def untagged_ok(text: str, code: bytes = b"") -> bytes:
    """News or a warning, without ending anything."""
    return _line("*", "OK", code, text)


def untagged_no(text: str, code: bytes = b"") -> bytes:
    return _line("*", "NO", code, text)


# ---------------------------------------------------------------- how commands end


def name_of(command: Command) -> str:
    """`UID FETCH` where that was the command."""
    name = command.NAME if not getattr(command, "read_only", False) else "EXAMINE"
    return f"UID {name}" if getattr(command, "uid", False) or getattr(command, "uids", None) else name


def completed(command: Command, code: bytes = b"") -> Completion:
    return Completion(command.tag, Status.OK, f"{name_of(command)} completed", code)


def refused(command: Command, text: str, code: bytes = b"") -> Completion:
    return Completion(command.tag, Status.NO, text, code)


def bad(tag: str, reason: str, code: bytes = b"") -> Completion:
    """The tag is empty where it could not be read: then the response is untagged (RFC 9051 §7.1.3)."""
    return Completion(tag or "*", Status.BAD, reason[:1].upper() + reason[1:], code)


@dataclass(frozen=True, slots=True)
class Failure:
    code: bytes
    text: str


FAILURES: Mapping[Kind, Failure] = {
    Kind.NOT_FOUND: Failure(b"NONEXISTENT", "There is no such mailbox"),
    Kind.EXISTS: Failure(b"ALREADYEXISTS", "It exists already"),
    Kind.FORBIDDEN: Failure(b"NOPERM", "You may not do that"),
    Kind.BAD_CREDENTIALS: Failure(b"AUTHENTICATIONFAILED", "Wrong user name or password"),
    Kind.OVER_QUOTA: Failure(b"OVERQUOTA", "The quota is used up"),
    Kind.TOO_BIG: Failure(b"TOOBIG", "The message is too big"),
    Kind.LIMIT_REACHED: Failure(b"LIMIT", "Too many at once"),
    Kind.IN_USE: Failure(b"INUSE", "The mailbox is in use, try again later"),
    Kind.UNAVAILABLE: Failure(b"UNAVAILABLE", "The mail store cannot be reached, try again later"),
    Kind.STORAGE_FULL: Failure(b"UNAVAILABLE", "There is no room for more mail, try again later"),
    Kind.INTERNAL: Failure(b"SERVERBUG", "Something went wrong in the server"),
}
"""House style section 7. RFC 5530 has no code for a full disk; UNAVAILABLE is its word for trouble that passes."""


def failed(command: Command, error: MailError, *, target: bool = False) -> Completion:
    """NO with the failure's code. A `target` that is not there answers TRYCREATE (RFC 9051 §6.3.12, §6.4.7)."""
    failure = FAILURES[error.kind]
    code = b"TRYCREATE" if target and error.kind is Kind.NOT_FOUND else failure.code
    return Completion(command.tag, Status.NO, failure.text, code)


# ---------------------------------------------------------------- greeting, login, good-bye


def greeting(capabilities: Iterable[str]) -> bytes:
    return untagged_ok(f"{PRODUCT} IMAP4 server ready", capability_code(capabilities))


def capability_code(capabilities: Iterable[str]) -> bytes:
    return " ".join(("CAPABILITY", *capabilities)).encode("ascii")


def logged_in(command: Command, capabilities: Iterable[str]) -> Completion:
    return Completion(command.tag, Status.OK, "Logged in", capability_code(capabilities))


def privacy_required(command: Command) -> Completion:
    return refused(command, "Encrypt the connection first", b"PRIVACYREQUIRED")


def login_limit_reached(command: Command) -> Completion:
    """Spec services 2.2: some programs open a connection for each of 200 folders."""
    return refused(command, "Too many concurrent logins", b"LIMIT")


def mechanism_refused(command: Command, *, known: bool) -> Completion:
    """AUTHENTICATE with a mechanism that is not offered; `known` ones would be under TLS."""
    return privacy_required(command) if known else refused(command, "There is no such mechanism", CANNOT_CODE)


def cancelled(command: Command) -> Completion:
    """RFC 9051 §6.2.2: the client gave up with `*`."""
    return bad(command.tag, "authentication cancelled")


def malformed_exchange(command: Command) -> Completion:
    """The client broke the mechanism's syntax; no login was tried."""
    return bad(command.tag, "that is not what the mechanism asks for")


def no_tls(command: Command) -> Completion:
    return refused(command, "TLS cannot be used now", b"UNAVAILABLE")


def tls_is_on(command: Command) -> Completion:
    return bad(command.tag, "TLS has already begun")


def begin_tls(command: Command) -> Completion:
    return Completion(command.tag, Status.OK, "Begin TLS now")


def compression_active(command: Command) -> Completion:
    """RFC 4978 §3."""
    return refused(command, "The connection is compressed already", COMPRESSION_ACTIVE_CODE)


def unknown_compression(command: Command) -> Completion:
    return refused(command, "Only DEFLATE is known", CANNOT_CODE)


def idle_is_off(command: Command) -> Completion:
    """Spec services 2.2."""
    return refused(command, "IDLE is switched off here", CANNOT_CODE)


def no_such_message(command: Command) -> Completion:
    """A message number beyond the last (RFC 9051 §9, seq-number)."""
    return bad(command.tag, "there is no such message")


def some_expunged(command: Command) -> Completion:
    """RFC 5530 §3: somebody else has expunged what the client still has a number for."""
    return refused(command, "Some of the messages are gone", EXPUNGE_ISSUED_CODE)


def read_only(command: Command) -> Completion:
    return refused(command, "The mailbox is open for reading only", READ_ONLY_CODE)


def not_permitted(command: Command) -> Completion:
    return failed(command, MailError(Kind.FORBIDDEN))


def needs_qresync(command: Command) -> Completion:
    """RFC 7162 §3.2.5, §3.2.6."""
    return bad(command.tag, "QRESYNC has not been enabled")


def needs_uid_and_changed_since(command: Command) -> Completion:
    """RFC 7162 §3.2.6."""
    return bad(command.tag, "VANISHED goes with UID FETCH and CHANGEDSINCE")


def unknown_encoding(command: Command) -> Completion:
    """RFC 9051 §6.4.5: BINARY of a part whose transfer encoding nobody here knows."""
    return refused(command, "A part has an unknown transfer encoding", UNKNOWN_CTE_CODE)


def holds_nul(command: Command) -> Completion:
    """RFC 3516 §4.4: binary content is not stored as it is."""
    return refused(command, "Messages with NUL cannot be kept", UNKNOWN_CTE_CODE)


def tag_in_use(command: Command) -> Completion:
    """RFC 5267 §4.3."""
    return bad(command.tag, "updates are being sent under this tag already")


def unknown_context(command: Command) -> Completion:
    """RFC 5267 §4.3.5."""
    return refused(command, "No updates are being sent under one of these tags")


def bad_url(command: Command, url: str) -> Completion:
    return refused(command, "That URL names nothing that can be read here", bad_url_code(url))


def append_refused(tag: str, error: MailError) -> Completion:
    """Said before the message is sent, where the client waits for leave; TRYCREATE as in `failed()`."""
    failure = FAILURES[error.kind]
    code = TRY_CREATE_CODE if error.kind is Kind.NOT_FOUND else failure.code
    return Completion(tag, Status.NO, failure.text, code)


STILL_HERE = untagged_ok("Still here")
"""Said to an idling client now and then, so that routers keep the connection and a dead one is found."""
STILL_WORKING = "Still working"
WILL_NOT_UPDATE = "The result will not be kept up to date"
FLAGS_STAY = "Flags that stay"
FLAGS_FIXED = "No flag can be changed"
UIDS_VALID = "UIDs are valid"
NEXT_UID = "Predicted next UID"
HIGHEST = "Highest mod-sequence"
MAILBOX_ID = "Mailbox id"
FIRST_UNSEEN = "First unseen message"
COPIED = "Copied"
REPLACED = "Stored"
CLOSED_BY_SELECT = "Closed the mailbox that was selected"

LOGOUT = Bye(f"{PRODUCT} IMAP4 server signing off")
NOT_ALLOWED = Bye("Server access not allowed", b"UNAVAILABLE")
TOO_MANY_SESSIONS = Bye("Too many connections, try again later", b"UNAVAILABLE")
TOO_MANY_FROM_ADDRESS = Bye("Too many connections from your address, try again later", b"UNAVAILABLE")
SHUTTING_DOWN = Bye("The server is shutting down", b"UNAVAILABLE")
IDLE_TOO_LONG = Bye("Nothing was heard for too long", b"INACTIVITY")
TOO_MANY_LOGINS = Bye("Too many concurrent logins", b"LIMIT")
TOO_MANY_FAILURES = Bye("Too many failed logins")
TOO_MANY_ERRORS = Bye("Too many errors", b"CLIENTBUG")
DISCONNECTED = Bye("The administrator has ended this session")
INTERNAL_ERROR = Bye("Something went wrong in the server", b"SERVERBUG")
MAILBOX_GONE = Bye("The mailbox has been deleted", b"NONEXISTENT")
LITERAL_TOO_BIG = Bye("That literal is too big", b"TOOBIG")
LINE_TOO_LONG = Bye("That line is too long", b"TOOBIG")
BYTES_BEFORE_SWITCH = Bye("Nothing may be sent before the connection has changed over", b"CLIENTBUG")
IDLING = Continuation(b"idling")
LITERAL = Continuation(b"OK")

# ---------------------------------------------------------------- response codes with arguments


def append_uid_code(uid_validity: int, uids: NumberSet) -> bytes:
    """RFC 4315 §3; several UIDs for MULTIAPPEND."""
    return b"APPENDUID %d %s" % (uid_validity, format_number_set(uids))


def copy_uid_code(uid_validity: int, source: Iterable[int], target: Iterable[int]) -> bytes:
    """RFC 4315 §3: the UIDs in pairs, so both sets in the order of copying, never sorted."""
    return b"COPYUID %d %s %s" % (uid_validity, _format_in_order(source), _format_in_order(target))


def _format_in_order(numbers: Iterable[int]) -> bytes:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return b",".join(b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in runs)


def modified_code(numbers: NumberSet) -> bytes:
    """RFC 7162 §3.1.3: what UNCHANGEDSINCE protected; UIDs after UID STORE."""
    return b"MODIFIED " + format_number_set(numbers)


def uid_validity_code(value: int) -> bytes:
    return b"UIDVALIDITY %d" % value


def uid_next_code(value: int) -> bytes:
    return b"UIDNEXT %d" % value


def highest_modseq_code(value: int) -> bytes:
    return b"HIGHESTMODSEQ %d" % value


def unseen_code(number: int) -> bytes:
    """RFC 3501 §7.1: the first unseen message; IMAP4rev2 has no such code."""
    return b"UNSEEN %d" % number


def mailbox_id_code(identifier: str) -> bytes:
    """RFC 8474 §4.2."""
    return b"MAILBOXID (%s)" % identifier.encode("ascii")


def permanent_flags_code(flags: Iterable[str], *, new_keywords: bool) -> bytes:
    r"""RFC 9051 §7.1; `\*` says that keywords can be made up."""
    listed = format_flags(flags)
    return b"PERMANENTFLAGS " + (listed[:-1] + (b" \\*)" if len(listed) > 2 else b"\\*)") if new_keywords else listed)


def metadata_long_entries_code(size: int) -> bytes:
    """RFC 5464 §4.2.1: the size of the largest entry that MAXSIZE left out."""
    return b"METADATA LONGENTRIES %d" % size


def metadata_max_size_code(size: int) -> bytes:
    return b"METADATA MAXSIZE %d" % size


def in_progress_code(tag: str, progress: int | None = None, goal: int | None = None) -> bytes:
    """RFC 9585 §4: how far a long command is, where that is known."""
    steps = (b"%d" % progress if progress is not None else b"NIL", b"%d" % goal if goal is not None else b"NIL")
    quoted = tag.replace("\\", "\\\\").replace('"', '\\"')
    return b'INPROGRESS ("%s" %s %s)' % (quoted.encode("ascii"), *steps)


def no_update_code(tag: str) -> bytes:
    """RFC 5267 §4.3: the results of this search will not be kept up to date."""
    return b'NOUPDATE "%s"' % tag.encode("ascii")


def bad_url_code(url: str) -> bytes:
    """RFC 4469 §4.1.1."""
    return b"BADURL " + format_astring(url)


READ_ONLY_CODE = b"READ-ONLY"
READ_WRITE_CODE = b"READ-WRITE"
CLOSED_CODE = b"CLOSED"
UID_NOT_STICKY_CODE = b"UIDNOTSTICKY"
CANNOT_CODE = b"CANNOT"
HAS_CHILDREN_CODE = b"HASCHILDREN"
TRY_CREATE_CODE = b"TRYCREATE"
EXPUNGE_ISSUED_CODE = b"EXPUNGEISSUED"
NOT_SAVED_CODE = b"NOTSAVED"
UNKNOWN_CTE_CODE = b"UNKNOWN-CTE"
TOO_BIG_CODE = b"TOOBIG"
USE_ATTRIBUTE_CODE = b"USEATTR"
COMPRESSION_ACTIVE_CODE = b"COMPRESSIONACTIVE"
UID_REQUIRED_CODE = b"UIDREQUIRED"
NOTIFICATION_OVERFLOW_CODE = b"NOTIFICATIONOVERFLOW"
CLIENT_BUG_CODE = b"CLIENTBUG"

# ---------------------------------------------------------------- about mailboxes


def cannot_be_named(command: Command, fault: str) -> Completion:
    """RFC 5530 §3 CANNOT: no folder will ever have this name."""
    return refused(command, f"A folder cannot be called that: {fault}", CANNOT_CODE)


def cannot_be_done(command: Command, text: str) -> Completion:
    return refused(command, text, CANNOT_CODE)


def use_not_offered(command: Command) -> Completion:
    """RFC 6154 §3."""
    return refused(command, "No folder can be given that use", USE_ATTRIBUTE_CODE)


def only_a_parent(command: Command) -> Completion:
    """What is not there cannot be deleted; what is below it would have to go first (RFC 5530 §3)."""
    return refused(command, "Only folders below it exist", HAS_CHILDREN_CODE)


def too_many_patterns(command: Command) -> Completion:
    return refused(command, "Too many patterns at once", b"LIMIT")


def no_such_user(command: Command) -> Completion:
    """RFC 4314 §3.1: an identifier that means nobody."""
    return refused(command, "There is no such user", b"NONEXISTENT")


def owner_keeps_rights(command: Command) -> Completion:
    return refused(command, "The rights of the owner cannot be changed", CANNOT_CODE)


def no_such_quota_root(command: Command) -> Completion:
    return refused(command, "There is no such quota root", b"NONEXISTENT")


def quota_is_fixed(command: Command) -> Completion:
    return refused(command, "Quotas are set by the administrator", b"NOPERM")


def too_many_annotations(command: Command) -> Completion:
    """RFC 5464 §4.3."""
    return refused(command, "There are too many annotations", b"METADATA TOOMANY")


def annotation_too_big(command: Command, limit: int) -> Completion:
    return refused(command, "The annotation is too big", metadata_max_size_code(limit))


def too_much_to_watch(command: Command) -> Completion:
    """RFC 5465 §5.8."""
    return refused(command, "That is too much to watch", NOTIFICATION_OVERFLOW_CODE)


NOTIFICATION_OVERFLOW = untagged_ok("Too much to watch; nothing is watched any more", NOTIFICATION_OVERFLOW_CODE)
"""As after NOTIFY NONE (RFC 5465 §5.8)."""
