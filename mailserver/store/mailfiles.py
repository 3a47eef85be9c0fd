# SPDX-License-Identifier: MIT
"""Mail in files of other programs: Maildir folders and mbox files, read and written a piece at a time.

Maildir as its author describes it (flags in the file's name, the internal date is when the file was written); mbox as
RFC 4155 has it, in the `mboxrd` form: of every line that is `From ` behind any number of `>`, one `>` is quoting. Flags
are in Status, X-Status and X-Keywords as mutt, Dovecot and Thunderbird write them. Pure, but for the files themselves.
Lines end with CRLF here and with LF there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from mailserver.values import Flag

FORWARDED = "$Forwarded"
MAX_HEADER_LINES = 10_000
"""Status lines stand in the header; a message without an end of it is taken as it is."""
_MAILDIR_FLAGS = {
    "D": Flag.DRAFT.value, "F": Flag.FLAGGED.value, "P": FORWARDED,
    "R": Flag.ANSWERED.value, "S": Flag.SEEN.value, "T": Flag.DELETED.value,
}  # fmt: skip
_STATUS_FLAGS = {"R": Flag.SEEN.value}
_X_STATUS_FLAGS = {"A": Flag.ANSWERED.value, "F": Flag.FLAGGED.value, "T": Flag.DRAFT.value, "D": Flag.DELETED.value}
_INFO = re.compile(r"[:;!]2,([A-Za-z]*)\Z")
_STATUS_LINE = re.compile(rb"(status|x-status|x-keywords):([^\r\n]*)", re.IGNORECASE)
_FROM_LINE = re.compile(rb">*From ")
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
"""RFC 9051 §9 flag-keyword: an atom."""


@dataclass(frozen=True, slots=True)
class FileMessage:
    """A message out of a file: its lines with CRLF, and what the file says about it."""

    lines: Iterable[bytes]
    flags: frozenset[str]
    date: datetime | None


def is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() and (path / "new").is_dir()


def read_maildir(path: Path) -> Iterator[FileMessage]:
    """Every message of one folder, oldest first."""
    files = [entry for name in ("cur", "new") for entry in (path / name).iterdir() if entry.is_file()]
    for file in sorted(files, key=lambda file: (file.stat().st_mtime, file.name)):
        found = _INFO.search(file.name)
        flags = {_MAILDIR_FLAGS[letter] for letter in found[1] if letter in _MAILDIR_FLAGS} if found else set()
        date = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
        with file.open("rb") as opened:
            yield FileMessage(map(_with_crlf, opened), frozenset(flags), date)


def read_mbox(path: Path) -> Iterator[FileMessage]:
    """Every message of the file; the lines of one must be read before the next. ValueError when it is no mbox."""
    with path.open("rb") as file:
        line = _skip_blank_lines(file)
        if line and not line.startswith(b"From "):
            raise ValueError(f"{path} is no mbox file: it does not begin with a line 'From '")
        reader = _MboxReader(file)
        while line:
            date = parse_from_line(line)
            header, flags = reader.read_header()
            yield FileMessage(reader.lines(header), flags, date)
            line = reader.next_from_line()


def _skip_blank_lines(file: BinaryIO) -> bytes:
    line = file.readline()
    while line in (b"\n", b"\r\n"):
        line = file.readline()
    return line


class _MboxReader:
    """The lines of one message after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._from_line: bytes | None = None

    def read_header(self) -> tuple[list[bytes], frozenset[str]]:
        """The header's lines with the blank one, less those that only say what the flags are; and the flags."""
        header: list[bytes] = []
        flags: set[str] = set()
        while len(header) < MAX_HEADER_LINES:
            line = self._file.readline()
            if not line or line.startswith(b"From "):
                self._from_line = line
                break
            status = _STATUS_LINE.match(line)
            if status:
                flags |= parse_status(status[1].decode("ascii").lower(), status[2].decode("utf-8", "replace"))
                continue
            header.append(_with_crlf(_unquoted(line)))
            if header[-1] == b"\r\n":
                break
        return header, frozenset(flags)

    def lines(self, header: Iterable[bytes]) -> Iterator[bytes]:
        """The whole message. The blank line before the next From line is not a part of it."""
        yield from header
        blank = b""
        while self._from_line is None:
            line = self._file.readline()
            if not line or (blank and line.startswith(b"From ")):
                self._from_line = line
                return
            if blank:
                yield blank
            blank = b"\r\n" if line in (b"\n", b"\r\n") else b""
            if not blank:
                yield _with_crlf(_unquoted(line))

    def next_from_line(self) -> bytes:
        """The line with which the next message begins; empty at the end of the file."""
        for _ in self.lines(()):
            pass
        line, self._from_line = self._from_line, None
        return line or b""


def parse_from_line(line: bytes) -> datetime | None:
    """`From sender Thu Jan  1 00:00:00 1970`: RFC 4155 has it in UTC; some programs write a zone as well."""
    words = line.decode("latin-1").split()
    for start in range(1, len(words) - 4):
        text = " ".join(words[start : start + 5])
        try:
            return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def parse_status(name: str, value: str) -> set[str]:
    """The flags that one of the three fields says."""
    if name == "x-keywords":
        return {word for word in value.split() if _KEYWORD.fullmatch(word)}
    letters = _STATUS_FLAGS if name == "status" else _X_STATUS_FLAGS
    return {letters[letter] for letter in value if letter in letters}


def _unquoted(line: bytes) -> bytes:
    return line[1:] if line.startswith(b">") and _FROM_LINE.match(line) else line


def _with_crlf(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return line
    return line[:-1] + b"\r\n" if line.endswith(b"\n") else line + b"\r\n"


# ---------------------------------------------------------------- writing


class MaildirWriter:
    """Writes a folder. A message that is there already, by UIDVALIDITY and UID, is left alone: so an export goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        for name in ("tmp", "new", "cur"):
            (path / name).mkdir(parents=True, exist_ok=True)
        self._present = {entry.name.partition(":")[0] for entry in (path / "cur").iterdir()}

    def write(self, key: str, flags: frozenset[str], date: datetime, chunks: Iterable[bytes]) -> bool:
        """Whether it was written; the file appears whole or not at all."""
        if key in self._present:
            return False
        letters = "".join(letter for letter, flag in sorted(_MAILDIR_FLAGS.items()) if flag in flags)
        temporary = self._path / "tmp" / key
        with temporary.open("wb") as file:
            file.writelines(_lines(chunks))
        os.utime(temporary, (date.timestamp(), date.timestamp()))
        temporary.rename(self._path / "cur" / f"{key}:2,{letters}")
        self._present.add(key)
        return True

    def close(self) -> None:
        """Every message is in place already."""


class MboxWriter:
    """Writes a new file; it has its name only when it is whole. Raises FileExistsError for one that is there."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise FileExistsError(f"{path} is there already")
        self._path = path
        self._temporary = path.with_name(f"{path.name}.part")
        self._file = self._temporary.open("wb")

    def write(self, key: str, flags: frozenset[str], date: datetime, chunks: Iterable[bytes]) -> bool:
        moment = date.astimezone(UTC).strftime("%a %b %e %H:%M:%S %Y")
        self._file.write(f"From MAILER-DAEMON {moment}\n".encode("ascii"))
        self._file.writelines(_status_lines(flags))
        for line in _lines(chunks):
            self._file.write(b">" + line if _FROM_LINE.match(line) else line)
        self._file.write(b"\n")
        return True

    def close(self) -> None:
        """The file is whole now."""
        self._file.close()
        self._temporary.rename(self._path)


def _status_lines(flags: frozenset[str]) -> Iterator[bytes]:
    known = {*_STATUS_FLAGS.values(), *_X_STATUS_FLAGS.values()}
    status = "".join(letter for letter, flag in _STATUS_FLAGS.items() if flag in flags) + "O"
    x_status = "".join(letter for letter, flag in _X_STATUS_FLAGS.items() if flag in flags)
    keywords = " ".join(sorted(flag for flag in flags - known if _KEYWORD.fullmatch(flag)))
    for name, value in (("Status", status), ("X-Status", x_status), ("X-Keywords", keywords)):
        if value:
            yield f"{name}: {value}\n".encode()


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with LF; the last one gets its end if it had none."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r") + b"\n"
    if rest:
        yield rest + b"\n"
