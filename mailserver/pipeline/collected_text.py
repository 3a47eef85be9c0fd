# SPDX-License-Identifier: MIT
"""The text of a collected message on its way into the spool: what a provider's server gives, made fit to be stored.

Nobody can be told to send it again, so what SMTP would refuse is mended here: bare CRs and LFs become line ends, NULs
go (RFC 9051 §4.3.1 has no place for them). Return-Path lines, which the last server wrote (RFC 5321 §4.4), are taken
out, because this server writes its own, and a message that goes on by SMTP must not have one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailserver.errors import Kind, MailError
from mailserver.mime.headers import MAX_HEADER_BYTES, header_section
from mailserver.mime.mailboxes import find_address
from mailserver.store.spool import SpoolWriter
from mailserver.values import Address, Body

MAX_MESSAGE_BYTES = 2 * 1024 * 1024 * 1024
"""A server that never comes to an end must not fill the disk. Providers take 25 to 150 MB."""
MAX_SURPRISE_BYTES = 256 * 1024 * 1024
"""What is let pass of a message that is longer than its server said; sizes are often wrong, but not by this much."""

# A run of CRs is one line end, with an LF behind it or not: programs that translate line ends twice leave such behind.
_LINE_END = re.compile(rb"\r*\n|\r+")
_RETURN_PATH = re.compile(rb"^return-path[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CollectedText:
    """A whole message. `return_path_known` is false where the provider's server wrote no Return-Path line."""

    body: Body
    header: bytes
    reverse_path: Address | None = None
    return_path_known: bool = False


class TextCollector:
    """Takes a message in pieces of any size. The spool is the caller's to discard."""

    def __init__(self, spool: SpoolWriter, announced_bytes: int = 0) -> None:
        """`announced_bytes` is what the provider said of its size; 0 when nobody asked."""
        self.size = 0
        """Bytes that came, as they came."""
        self._spool = spool
        expected = announced_bytes * 2 + MAX_SURPRISE_BYTES if announced_bytes else MAX_MESSAGE_BYTES
        self._max_bytes = min(expected, MAX_MESSAGE_BYTES)
        self._held = b""
        self._begun = bytearray()
        self._header: bytes | None = None
        self._return_paths: list[bytes] = []
        self._failure: MailError | None = None
        self._line_ended = True

    def feed(self, data: bytes) -> None:
        """The next piece. A failure of the disk is told by `finish`; raises TOO_BIG as soon as there is no end."""
        self.size += len(data)
        if self.size > self._max_bytes:
            raise MailError(Kind.TOO_BIG, f"the message is longer than {self._max_bytes} bytes")
        data = self._tidy(self._held + data)
        if self._header is not None:
            self._write(data)
            return
        start = max(0, len(self._begun) - 3)
        self._begun += data
        if self._begun.find(b"\r\n\r\n", start) >= 0 or len(self._begun) > MAX_HEADER_BYTES:
            self._end_header()

    def finish(self) -> CollectedText:
        """The message, complete. Raises what `SpoolWriter` raises."""
        rest, self._held = self._held, b""
        if rest:
            self.feed(b"\n")
        if self._header is None:
            self._end_header()
        if not self._line_ended:
            self._write(b"\r\n")
        if self._failure is not None:
            raise self._failure
        body = self._spool.finish()
        known = bool(self._return_paths)
        path = find_address(self._return_paths[0].decode("utf-8", "replace")) if known else None
        return CollectedText(body, self._header or b"", path, known)

    def _tidy(self, data: bytes) -> bytes:
        """Every line ended by CRLF. CRs at the end wait for what follows them."""
        if b"\0" in data:
            data = data.replace(b"\0", b"")
        kept = data.rstrip(b"\r")
        self._held = b"\r" if len(kept) < len(data) else b""
        ends = kept.count(b"\r\n")
        if kept.count(b"\n") != ends or kept.count(b"\r") != ends:
            return _LINE_END.sub(b"\r\n", kept)
        return kept

    def _end_header(self) -> None:
        begun = bytes(self._begun)
        self._begun = bytearray()
        header = header_section(begun)
        rest = begun[len(header) :]
        self._return_paths = _RETURN_PATH.findall(header)
        self._header = _RETURN_PATH.sub(b"", header) if self._return_paths else header
        self._write(self._header + rest)

    def _write(self, data: bytes) -> None:
        """After a failure the rest of the message is read and thrown away: the session can go on behind it."""
        if data:
            self._line_ended = data.endswith(b"\n")
        if self._failure is None:
            try:
                self._spool.write(data)
            except MailError as error:
                self._failure = error
