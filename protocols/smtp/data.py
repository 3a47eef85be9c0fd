# SPDX-License-Identifier: MIT
"""What arrives, cut into command lines and message data. RFC 5321 §2.3.8, §4.1.1.4, §4.5.2 and §4.5.3.1. Pure.

Lines end in CRLF and in nothing else. Servers that also took a bare LF, or a bare CR, for an end of line let senders
smuggle a second message behind a false end of data (CVE-2023-51764, CVE-2023-51765, CVE-2023-51766). So:

- a command that ends in a bare LF is refused, and so is one with a CR in it;
- a dot between line ends that are not both CRLF is an attempt to smuggle: it ends the session at once, because the
  peer's next bytes may be the second message;
- a bare CR or LF anywhere else in the data has the message refused at its end, as Postfix does it with
  `smtpd_forbid_bare_newline = reject`. Repairing it would change what was signed;
- so has a NUL: no protocol that gives mail out can carry it (RFC 9051 §4.3.1), and RFC 6152 §3 never allowed it.
"""

from __future__ import annotations

import enum
import re

from protocols.smtp.grammar import GrammarError, Wrong

MAX_COMMAND_OCTETS = 2048
"""RFC 5321 §4.5.3.1.4 asks for 512, and the extensions on offer for another 1,000 or so. Postfix takes 2,048 too."""
MAX_AUTH_OCTETS = 12288
"""RFC 4954 §4, for AUTH and the lines of its exchange."""


class LineBuffer:
    """Bytes that have arrived and are not yet used."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0
        self._skipping = False

    def receive(self, data: bytes) -> None:
        """More has arrived."""
        self._data = self._data[self._start :] + data
        self._start = 0

    @property
    def waiting(self) -> int:
        """How many bytes have not been used."""
        return len(self._data) - self._start

    def next_line(self) -> bytes | None:
        """The next line without its CRLF, or None when more must arrive first.

        Raises GrammarError for a line that ends in a bare LF, and for one over `MAX_AUTH_OCTETS` (once, when its
        end has arrived; until then its bytes are thrown away).
        """
        end = self._data.find(b"\n", self._start)
        if end < 0:
            if self._skipping or self.waiting > MAX_AUTH_OCTETS:
                self._skipping = True
                self.take()
            return None
        line = self._data[self._start : end]
        self._start = end + 1
        if self._skipping or len(line) > MAX_AUTH_OCTETS:
            self._skipping = False
            raise GrammarError(Wrong.LINE_LENGTH, "Line too long")
        if not line.endswith(b"\r"):
            raise GrammarError(Wrong.LINE_END, "Lines end in CRLF")
        return line[:-1]

    def take(self) -> bytes:
        """Everything that waits."""
        data = self._data[self._start :]
        self._data, self._start = b"", 0
        return data


class Fault(enum.IntEnum):
    """Why a message must be refused. Of several the highest is told, so that it never matters how data was cut."""

    LINE_TOO_LONG = 1
    TOO_BIG = 2
    NUL = 3
    BARE_NEWLINE = 4
    SMUGGLING = 5


_END = b"\r\n.\r\n"
_ANY_END = re.compile(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r|\n)")
"""An end of data to somebody's eyes. Looked for only where bare CRs or LFs are, so that it cannot be the true one."""
_PERHAPS_CRLF = (b"", b"\r", b"\r\n")
_UNDECIDED = re.compile(rb"(?:\r\n|\r|\n)(?:\.\r?)?\Z")
"""The last bytes of a piece, if what follows decides what they are."""


class DataDecoder:
    """Takes the data of one message in pieces of any size; gives it back without the transparency dots.

    The message keeps its line ends. Once a fault is found nothing more is given back, but the true end of data is
    still looked for, save after `SMUGGLING`. A limit of 0 is none.
    """

    def __init__(self, max_bytes: int = 0, max_line_bytes: int = 0) -> None:
        self.fault: Fault | None = None
        self.finished = False
        self.rest = b""
        """What arrived behind the end of data."""
        self.size = 0
        """Octets of the message so far (RFC 1870 §6.1: without the transparency dots)."""
        self.eight_bit = False
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes
        self._line_bytes = 0
        self._held = b"\r\n"  # Data begins as if behind a line end: a dot may be the first thing there is.
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """The next piece of the message. `finished` says whether it was the last one."""
        data = self._held + data
        end = data.find(_END)
        if end >= 0:
            self.finished = True
            self.rest = data[end + len(_END) :]
            self._held = b""
            piece = data[: end + 2]
        else:
            undecided = _UNDECIDED.search(data, max(0, len(data) - 5))
            cut = len(data) if undecided is None else undecided.start()
            self._held = data[cut:]
            piece = data[:cut]
        return self._inspect(piece)

    def _inspect(self, piece: bytes) -> bytes:
        """The piece without its dots, or nothing when it must not be kept.

        A held line end may make a false end whole, and a peer that waits for an answer sends nothing more.
        """
        if not piece:
            return b""
        line_ends = piece.count(b"\r\n")
        bare = piece.count(b"\n") != line_ends or piece.count(b"\r") != line_ends
        ahead = self._held[:2]
        if (bare or ahead not in _PERHAPS_CRLF) and _ANY_END.search(piece + ahead):
            self.fault, self.finished, self.rest = Fault.SMUGGLING, True, b""
            return b""
        piece = piece.replace(b"\r\n.", b"\r\n")
        if self._first:
            self._first = False
            piece = piece[2:]
        self.size += len(piece)
        self._find_faults(piece, bare)
        if not self.eight_bit:
            self.eight_bit = not piece.isascii()
        return b"" if self.fault else piece

    def _find_faults(self, piece: bytes, bare: bool) -> None:
        if bare:
            self._record(Fault.BARE_NEWLINE)
        if b"\0" in piece:
            self._record(Fault.NUL)
        if self._max_bytes and self.size > self._max_bytes:
            self._record(Fault.TOO_BIG)
        if self._max_line_bytes and self._has_long_line(piece):
            self._record(Fault.LINE_TOO_LONG)

    def _record(self, fault: Fault) -> None:
        self.fault = fault if self.fault is None else max(fault, self.fault)

    def _has_long_line(self, piece: bytes) -> bool:
        """Whether a line, without its CRLF, is over the limit; keeps count of the line that goes on."""
        limit = self._max_line_bytes
        if self._line_bytes + len(piece) <= limit:
            last = piece.rfind(b"\r\n")
            self._line_bytes = self._line_bytes + len(piece) if last < 0 else len(piece) - last - 2
            return False
        lengths = [len(line) for line in piece.split(b"\r\n")]
        lengths[0] += self._line_bytes
        self._line_bytes = lengths[-1]
        return max(lengths) > limit
