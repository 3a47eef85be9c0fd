# SPDX-License-Identifier: MIT
"""COMPRESS=DEFLATE: the layer between the machine and the stream.

RFC 4978, RFC 1951. Pure. What comes in is handed out in pieces of bounded size, so that a small packet which unpacks
into gigabytes costs its sender's patience and not our memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from mailserver.errors import ProtocolViolation
from protocols.imap.replies import Bye, format_reply

MAX_INFLATED_BYTES = 64 * 1024
"""The largest piece handed out at once; deflate can unpack a thousandfold."""

_BROKEN = format_reply(Bye("The compressed data is broken", b"CLIENTBUG"))


class DeflateLayer:
    """Both directions of one connection, from the OK to COMPRESS on."""

    def __init__(self) -> None:
        # Negative: no zlib header (RFC 4978 §4). A smaller window and less memory than the defaults cost a few
        # percent of size and save 200 KB for each idle session.
        self._inflater = zlib.decompressobj(wbits=-15)
        self._deflater = zlib.compressobj(level=6, wbits=-12, memLevel=5)

    def receive(self, data: bytes) -> Iterator[bytes]:
        """What the client sent, unpacked. Take each piece's events before the next piece."""
        while data:
            try:
                piece = self._inflater.decompress(data, MAX_INFLATED_BYTES)
            except zlib.error as error:
                raise ProtocolViolation(_BROKEN, may_continue=False, note=str(error)) from error
            data = self._inflater.unconsumed_tail
            if self._inflater.eof:
                # A client does not end its stream; what follows it cannot be read.
                raise ProtocolViolation(_BROKEN, may_continue=False, note="the stream has ended")
            if piece:
                yield piece
            if not data and len(piece) == MAX_INFLATED_BYTES:
                yield from self._drain()

    def _drain(self) -> Iterator[bytes]:
        """What the inflater still holds back after its input is used up."""
        while piece := self._inflater.decompress(b"", MAX_INFLATED_BYTES):
            yield piece

    def send(self, data: bytes) -> bytes:
        """Packed, up to a place where the client can read all of it (RFC 4978 §4)."""
        return self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
