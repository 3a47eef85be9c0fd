# SPDX-License-Identifier: MIT
"""The client's half of SMTP as bytes: replies read, EHLO understood, commands written, dots doubled.

RFC 5321 §4.2 (replies), §4.1.1.1 (EHLO), §4.5.2 (transparency), RFC 2034 (enhanced status codes), RFC 1870 (SIZE),
RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 3461 §4 (RET, ENVID, NOTIFY, ORCPT). Pure.

A reply is kept as it came, for the queue's page shows the remote's exact words; only control characters are made
visible, because they would let a peer forge lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailserver.addressing.syntax import format_mailbox
from mailserver.values import Address

MAX_REPLY_LINE_BYTES = 8192
"""RFC 5321 §4.5.3.1.5 allows 512; some servers explain themselves at length."""
MAX_REPLY_BYTES = 65536
"""Of one reply with all its lines: a peer that never ends one must not fill our memory."""

_REPLY_LINE = re.compile(rb"([2345][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
# status-code = class "." subject "." detail (RFC 3463 §2)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s|$)")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class BadReply(Exception):
    """What came is not a reply; the text says what it was, for the log and the run."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its code, and its lines without code and line end."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Word for word, each line with its code."""
        return "\n".join(self._numbered())

    @property
    def raw(self) -> str:
        """As scripts get it (spec senders 6.4): lines joined by CRLF, codes included."""
        return "\r\n".join(self._numbered())

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    @property
    def enhanced(self) -> str:
        """RFC 2034: `5.1.1`, or an empty text. One of another class than the code is not believed."""
        found = _ENHANCED.match(self.lines[0]) if self.lines else None
        if found is None or int(found[1]) != self.code // 100:
            return ""
        return f"{found[1]}.{int(found[2])}.{int(found[3])}"

    def _numbered(self) -> Iterator[str]:
        last = len(self.lines) - 1
        for number, line in enumerate(self.lines):
            yield f"{self.code}{'-' if number < last else ' '}{line}".rstrip(" ")


def parse_reply(text: str) -> Reply | None:
    """A reply that a script wrote: None when it does not begin with a code (spec senders 6.4)."""
    reader = ReplyReader()
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    try:
        reader.feed("".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace"))
        return reader.next_reply()
    except BadReply:
        return None


class ReplyReader:
    """Bytes in, replies out, however they are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def empty(self) -> bool:
        """Nothing has come that was not asked for."""
        return not self._buffer and not self._lines

    def next_reply(self) -> Reply | None:
        """The next whole reply; None: more is needed. Raises BadReply, after which nothing can be understood."""
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > MAX_REPLY_LINE_BYTES:
                    raise BadReply("a reply line that does not end")
                return None
            line = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            if (reply := self._take_line(line)) is not None:
                return reply

    def _take_line(self, line: bytes) -> Reply | None:
        """The codes of a reply's lines should be the same (RFC 5321 §4.2.1); where they differ, the last counts."""
        match = _REPLY_LINE.fullmatch(line)
        self._size += len(line)
        if match is None or len(line) > MAX_REPLY_LINE_BYTES:
            raise BadReply(f"not a reply: {_printable(line[:200])!r}")
        if self._size > MAX_REPLY_BYTES:
            raise BadReply("a reply that does not end")
        self._lines.append(_printable(match[3] or b""))
        if match[2] == b"-":
            return None
        reply = Reply(int(match[1]), tuple(self._lines))
        self._lines, self._size = [], 0
        return reply


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the server offered to EHLO: keywords in upper case, with what follows them."""

    keywords: Mapping[str, str]
    server_name: str = ""

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def max_size(self) -> int:
        """RFC 1870 §4: 0 where no limit is announced."""
        value = self.keywords.get("SIZE", "").strip()
        return int(value) if value.isascii() and value.isdecimal() and len(value) <= 20 else 0

    @property
    def login_methods(self) -> tuple[str, ...]:
        return tuple(self.keywords.get("AUTH", "").upper().split())

    def without(self, names: Collection[str]) -> Extensions:
        """As if the server had not offered these."""
        kept = {keyword: rest for keyword, rest in self.keywords.items() if keyword not in names}
        return Extensions(kept, self.server_name)


NO_EXTENSIONS = Extensions({})


def parse_extensions(reply: Reply) -> Extensions:
    """Quirk: `AUTH=LOGIN` in place of `AUTH LOGIN`, as servers said before there was a standard."""
    keywords: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, rest = line.strip().partition(" ")
        if keyword.upper().startswith("AUTH="):
            keyword, rest = "AUTH", f"{keyword[5:]} {rest}"
        if _KEYWORD.fullmatch(keyword) is None:
            continue
        name = keyword.upper()
        keywords[name] = f"{keywords[name]} {rest}".strip() if name in keywords else rest.strip()
    return Extensions(keywords, reply.lines[0].split(" ")[0] if reply.lines else "")


@dataclass(frozen=True, slots=True)
class OutgoingRecipient:
    """One RCPT TO; the RFC 3461 parameters as they came, `notify` separated by blanks or commas."""

    address: Address
    notify: str = ""
    original_recipient: str = ""


def format_mail(
    reverse_path: Address | None,
    extensions: Extensions,
    size: int,
    *,
    eight_bit: bool = False,
    smtputf8: bool = False,
    dsn_return: str = "",
    envelope_id: str = "",
) -> bytes:
    """MAIL FROM with what the server has a use for, without the line end."""
    words = [f"MAIL FROM:<{'' if reverse_path is None else format_mailbox(reverse_path)}>"]
    if "SIZE" in extensions:
        words.append(f"SIZE={size}")
    if eight_bit and "8BITMIME" in extensions:
        words.append("BODY=8BITMIME")
    if smtputf8 and "SMTPUTF8" in extensions:
        words.append("SMTPUTF8")
    if "DSN" in extensions:
        if dsn_return:
            words.append(f"RET={dsn_return}")
        if envelope_id:
            words.append(f"ENVID={envelope_id}")
    return _line(words)


def format_rcpt(recipient: OutgoingRecipient, extensions: Extensions) -> bytes:
    """RCPT TO, without the line end."""
    words = [f"RCPT TO:<{format_mailbox(recipient.address)}>"]
    if "DSN" in extensions:
        if recipient.notify:
            words.append(f"NOTIFY={','.join(recipient.notify.replace(',', ' ').split())}")
        if recipient.original_recipient:
            words.append(f"ORCPT={recipient.original_recipient}")
    return _line(words)


def needs_smtputf8(addresses: Iterable[Address | None], header: bytes) -> bool:
    """Whether a message that was given to us with SMTPUTF8 cannot go on without it (RFC 6531 §3.2)."""
    return not header.isascii() or any(address is not None and not address.local.isascii() for address in addresses)


class DotStuffer:
    """RFC 5321 §4.5.2: a dot that begins a line is doubled, also where the line begins in another piece."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def stuff(self, piece: bytes) -> bytes:
        if not piece:
            return piece
        begins = piece.startswith(b".") and self._tail == b"\r\n"
        # Also "\n" at the start of this piece, whose "\r" ended the piece before.
        split = piece.startswith(b"\n.") and self._tail[-1:] == b"\r"
        self._tail = (self._tail + piece[-2:])[-2:]
        stuffed = piece.replace(b"\r\n.", b"\r\n..")
        if begins:
            return b"." + stuffed
        return b"\n." + stuffed[1:] if split else stuffed

    def end(self) -> bytes:
        """What comes after the last piece, the end of the data included."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


def _line(words: Iterable[str]) -> bytes:
    """No address and no parameter has a control character in it: both were parsed. Never trust that here."""
    line = " ".join(words).encode("utf-8", "replace")
    if any(byte < 32 or byte == 127 for byte in line):
        raise ValueError("a control character in a command")
    return line


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace").replace("\t", " ")
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
