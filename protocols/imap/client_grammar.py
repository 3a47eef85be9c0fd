# SPDX-License-Identifier: MIT
"""What an IMAP4 server says, as values, and what we say to it, as bytes. The collecting side; pure.

RFC 9051 §7 (responses), §9; RFC 3501 for servers that know no better. Read leniently: a response that does not
concern a collector is `Other`, whatever it holds. The machine gives a response as pieces: text, literal, text,
literal ... text, where a literal that was streamed is STREAMED.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from protocols.imap.mutf7 import decode_mutf7, encode_mutf7
from protocols.imap.sequence import NumberSet, format_number_set

MAX_UID = 0xFFFFFFFF


class BadResponse(ValueError):
    """The server broke the grammar where it matters to us."""


# ---------------------------------------------------------------- responses


@dataclass(frozen=True, slots=True)
class Condition:
    """OK, NO, BAD, BYE or PREAUTH; `tag` is empty when it answers no command (RFC 9051 §7.1)."""

    tag: bytes
    status: str
    code: str = ""
    argument: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Continuation:
    """`+`: go on (RFC 9051 §7.6)."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Capabilities:
    """In capitals."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exists:
    """So many messages are in the mailbox."""

    count: int


@dataclass(frozen=True, slots=True)
class Expunged:
    """A message has gone; those behind it have other numbers now (RFC 9051 §7.5.1)."""

    number: int


@dataclass(frozen=True, slots=True)
class Folder:
    """RFC 9051 §7.3.1; `delimiter` is empty where folders have none below them."""

    name: str
    delimiter: str
    attributes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """SEARCH, or ESEARCH's ALL."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FetchedItems:
    """What one FETCH response said; None where it said nothing.

    `body`: the message was in it, given before by pieces; `text` is the message where it was quoted instead.
    """

    number: int
    uid: int | None = None
    size: int | None = None
    flags: frozenset[str] | None = None
    header: bytes | None = None
    body: bool = False
    text: bytes | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """Something that is of no use here."""

    name: str


Response = Condition | Continuation | Capabilities | Exists | Expunged | Folder | Found | FetchedItems | Other


class Streamed:
    """Stands for a literal whose bytes were given away while they came."""


STREAMED = Streamed()
Piece = bytes | Streamed

# resp-cond-state, with response codes whose text has no "]" in it
_CONDITION = re.compile(
    rb"(OK|NO|BAD|BYE|PREAUTH)(?: (?:\[([^\] ]+)(?: ([^\]]*))?\] ?)?(.*))?", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(rb"[A-Za-z0-9]{1,20}")
_NUMBERED = re.compile(rb"(\d{1,10}) ([A-Za-z]+)(?: |\Z)")
_NUMBER = re.compile(rb"\d{1,19}")
BODY_LITERAL = re.compile(rb"\* \d{1,10} FETCH \(.*(?:BODY\[\]|\bRFC822) \Z", re.DOTALL | re.IGNORECASE)
"""What stands before the literal that is a whole message."""
LITERAL_MARK = re.compile(rb"~?\{(\d{1,19})\+?\}\r?\n\Z")

# One token: "(" or ")", a quoted string, or anything up to a space or a parenthesis; sections in brackets belong to it.
_TOKEN = re.compile(rb' *(?:([()])|"((?:[^"\\]|\\.)*)"|((?:[^ ()"\[]|\[[^\]]*\])+))', re.DOTALL)


def parse_response(pieces: Sequence[Piece]) -> Response:
    """One whole response, its line end left out. Raises BadResponse."""
    first = pieces[0]
    assert isinstance(first, bytes)
    if first.startswith(b"+"):
        return Continuation(first[2:] if first[1:2] == b" " else first[1:])
    tag, space, rest = first.partition(b" ")
    if not space:
        raise BadResponse("a response has at least two words")
    if tag != b"*":
        if not _TAG.fullmatch(tag):
            raise BadResponse("a response begins with *, + or a tag")
        condition = _CONDITION.fullmatch(rest)
        if condition is None or condition[1].upper() not in (b"OK", b"NO", b"BAD"):
            raise BadResponse("a command ends with OK, NO or BAD")
        return _make_condition(tag, condition)
    condition = _CONDITION.fullmatch(rest)
    if condition is not None:
        return _make_condition(b"", condition)
    numbered = _NUMBERED.match(rest)
    if numbered is not None:
        return _parse_numbered(int(numbered[1]), numbered[2].upper(), [rest[numbered.end() :], *pieces[1:]])
    name, _, rest = rest.partition(b" ")
    return _parse_named(name.upper(), [rest, *pieces[1:]])


def _make_condition(tag: bytes, found: re.Match[bytes]) -> Condition:
    status, code, argument, text = (_show(part or b"") for part in found.groups())
    return Condition(tag, status.upper(), code.upper(), argument, text)


def _parse_numbered(number: int, name: bytes, pieces: list[Piece]) -> Response:
    if name == b"EXISTS":
        return Exists(number)
    if name == b"EXPUNGE":
        return Expunged(number)
    if name == b"FETCH":
        return _parse_fetch(number, _tokens(pieces))
    return Other(_show(name))


def _parse_named(name: bytes, pieces: list[Piece]) -> Response:
    match name:
        case b"CAPABILITY":
            return Capabilities(frozenset(_show(word).upper() for word in _text(pieces).split()))
        case b"LIST":
            return _parse_list(list(_tokens(pieces)))
        case b"SEARCH":
            words = _text(pieces).partition(b"(")[0].split()
            return Found(tuple(int(word) for word in words if _NUMBER.fullmatch(word)))
    return Other(_show(name))


def _text(pieces: list[Piece]) -> bytes:
    return pieces[0] if isinstance(pieces[0], bytes) else b""


@dataclass(frozen=True, slots=True)
class _Token:
    """`mark` is the parenthesis, else empty; `string`: it was quoted or a literal; `streamed`: its bytes are gone."""

    value: bytes
    mark: bytes = b""
    string: bool = False
    streamed: bool = False


def _tokens(pieces: Iterable[Piece]) -> Iterator[_Token]:
    """The pieces are text, literal, text ..."""
    for index, piece in enumerate(pieces):
        if index % 2:
            yield _Token(b"", streamed=True) if isinstance(piece, Streamed) else _Token(piece, string=True)
            continue
        assert isinstance(piece, bytes)
        position = 0
        while position < len(piece):
            found = _TOKEN.match(piece, position)
            if found is None:
                if piece[position:].strip(b" "):
                    raise BadResponse("a quotation mark or bracket is missing")
                break
            position = found.end()
            if found[1]:
                yield _Token(b"", mark=found[1])
            elif found[2] is not None:
                yield _Token(re.sub(rb"\\(.)", rb"\1", found[2], flags=re.DOTALL), string=True)
            else:
                yield _Token(found[3])


def _parse_fetch(number: int, tokens: Iterator[_Token]) -> FetchedItems:
    if next(tokens, _Token(b"")).mark != b"(":
        raise BadResponse("FETCH wants a list")
    values: dict[str, object] = {}
    while True:
        name = next(tokens, None)
        if name is None:
            raise BadResponse("FETCH's list does not end")
        if name.mark == b")":
            break
        if name.mark or name.string or name.streamed:
            raise BadResponse("FETCH wants names of items")
        value = _parse_value(tokens)
        _take_item(values, name.value.upper(), value)
    return FetchedItems(number, **values)  # type: ignore[arg-type]


def _parse_value(tokens: Iterator[_Token]) -> list[_Token]:
    """One value, flattened: a list gives what is in it."""
    found: list[_Token] = []
    depth = 0
    for token in tokens:
        if token.mark == b"(":
            depth += 1
        elif token.mark == b")":
            depth -= 1
            if depth < 0:
                break
        else:
            found.append(token)
        if depth == 0:
            return found
    raise BadResponse("FETCH's item has no value")


def _take_item(values: dict[str, object], name: bytes, value: list[_Token]) -> None:
    if name == b"FLAGS":
        values["flags"] = frozenset(_show(token.value) for token in value)
        return
    if len(value) != 1:
        return
    token = value[0]
    if name == b"UID":
        values["uid"] = _parse_number(token.value, MAX_UID)
    elif name == b"RFC822.SIZE":
        values["size"] = _parse_number(token.value, 2**63)
    elif name in (b"BODY[]", b"RFC822"):
        values["body"] = token.streamed
        values["text"] = token.value if token.string else None
    elif name.startswith((b"BODY[HEADER]", b"BODY[HEADER.FIELDS")):
        values["header"] = token.value if token.string else b""


def _parse_number(text: bytes, maximum: int) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > maximum:
        raise BadResponse("a number is none")
    return int(text)


def _parse_list(tokens: list[_Token]) -> Response:
    """`(attributes) delimiter name`, and what extensions put behind."""
    if not tokens or tokens[0].mark != b"(":
        raise BadResponse("LIST wants attributes")
    end = next((index for index, token in enumerate(tokens) if token.mark == b")"), len(tokens))
    rest = tokens[end + 1 :]
    if len(rest) < 2 or rest[0].mark or rest[1].mark:
        raise BadResponse("LIST wants a delimiter and a name")
    delimiter = _show(rest[0].value) if rest[0].string else ""
    return Folder(_folder_name(rest[1].value), delimiter, frozenset(_show(token.value) for token in tokens[1:end]))


def _folder_name(name: bytes) -> str:
    """A name that is no modified UTF-7 is shown as it is; it cannot be asked for."""
    try:
        return decode_mutf7(name)
    except ValueError:
        return _show(name)


def _show(text: bytes) -> str:
    return text.decode("utf-8", "replace")


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class Literal:
    """An argument that cannot be quoted; the server is waited for before it is sent (RFC 9051 §4.3)."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Command:
    """Words and literals; the machine puts a tag in front. `shown` is the command for transcripts, secrets blanked.

    `continues`: the server will ask for more before it answers (AUTHENTICATE, IDLE).
    """

    parts: tuple[bytes | Literal, ...] = field(repr=False)
    shown: str
    continues: bool = False


_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}")


def format_string(value: bytes) -> bytes | Literal:
    """Quoted where that is allowed, which is what every server understands."""
    if _QUOTABLE.fullmatch(value):
        return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return Literal(value)


def format_folder(name: str) -> bytes | Literal:
    """In modified UTF-7: we never enable UTF-8, so that one form does for every server."""
    return format_string(encode_mutf7(name))


def command(name: str, *parts: bytes | Literal, shown: str = "", continues: bool = False) -> Command:
    """A command whose arguments are already in their wire form."""
    words: list[bytes | Literal] = [name.encode("ascii")]
    words.extend(parts)
    plain = " ".join(_show(part) if isinstance(part, bytes) else "{...}" for part in words)
    return Command(tuple(words), shown or plain, continues)


def login(username: str, password: str) -> Command:
    """RFC 9051 §6.2.3."""
    return command(
        "LOGIN",
        format_string(username.encode()),
        format_string(password.encode()),
        shown=f"LOGIN {username} ***",
    )


def authenticate(mechanism: str, initial: bytes | None) -> Command:
    """RFC 9051 §6.2.2; `initial` is base64, or `=` for an empty one, None when it is not sent with the command."""
    parts = (mechanism.encode("ascii"),) if initial is None else (mechanism.encode("ascii"), initial)
    shown = f"AUTHENTICATE {mechanism}" + ("" if initial is None else " ***")
    return command("AUTHENTICATE", *parts, shown=shown, continues=True)


def select(folder: str) -> Command:
    return command("SELECT", format_folder(folder))


def examine(folder: str) -> Command:
    """SELECT without leave to change anything."""
    return command("EXAMINE", format_folder(folder))


def uid_search_id(message_id: str) -> Command:
    """Those whose Message-ID has this text in it (RFC 9051 §6.4.4)."""
    return command("UID SEARCH HEADER MESSAGE-ID", format_string(message_id.encode("ascii")))


def list_folders(pattern: str) -> Command:
    """Everything that fits, or with an empty pattern the delimiter (RFC 9051 §6.3.9)."""
    return command("LIST", b'""', format_string(pattern.encode("ascii")))


def uid_fetch(uids: Iterable[int], items: str) -> Command:
    return command("UID FETCH", format_uids(uids), items.encode("ascii"))


def uid_fetch_all(items: str) -> Command:
    return command("UID FETCH", b"1:*", items.encode("ascii"))


def uid_delete(uids: Iterable[int]) -> Command:
    """The flag; without `.SILENT` nobody would want the answer."""
    return command("UID STORE", format_uids(uids), b"+FLAGS.SILENT", b"(\\Deleted)")


def uid_expunge(uids: Iterable[int]) -> Command:
    """RFC 4315 §2.1."""
    return command("UID EXPUNGE", format_uids(uids))


def uid_move(uids: Iterable[int], folder: str) -> Command:
    """RFC 6851 §3."""
    return command("UID MOVE", format_uids(uids), format_folder(folder))


def uid_copy(uids: Iterable[int], folder: str) -> Command:
    return command("UID COPY", format_uids(uids), format_folder(folder))


def create_folder(folder: str) -> Command:
    return command("CREATE", format_folder(folder))


def format_uids(uids: Iterable[int]) -> bytes:
    """As ranges."""
    return format_number_set(NumberSet.from_numbers(uids))
