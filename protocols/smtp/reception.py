# SPDX-License-Identifier: MIT
"""The data of one message on its way from the wire into the spool, and what became of it at its end.

RFC 5321 §4.1.1.4 and §4.2.5: whatever goes wrong is told after the end of data, not before.
"""

from __future__ import annotations

from mailserver.config.catalog import MAX_LINE_BYTES, MAX_MESSAGE_BYTES
from mailserver.config.snapshot import Service
from mailserver.errors import MailError
from mailserver.store.spool import SpoolWriter
from mailserver.values import Body
from protocols.smtp import replies
from protocols.smtp.data import DataDecoder, Fault

MIN_BYTES_PER_SECOND = 500
"""A message must come in faster than this on average, or it holds a session for ever; as Postfix's
`smtpd_min_data_rate`."""


class Reception:
    """Takes pieces until `finished`. The spool is the caller's to discard."""

    def __init__(self, service: Service, spool: SpoolWriter) -> None:
        self._decoder = DataDecoder(service.get(MAX_MESSAGE_BYTES), service.get(MAX_LINE_BYTES))
        self._idle_seconds = service.idle_timeout_seconds
        self._spool = spool
        self._failure: MailError | None = None

    @property
    def finished(self) -> bool:
        return self._decoder.finished

    @property
    def rest(self) -> bytes:
        """What arrived behind the end of data: the next commands."""
        return self._decoder.rest

    @property
    def size(self) -> int:
        return self._decoder.size

    @property
    def eight_bit(self) -> bool:
        return self._decoder.eight_bit

    @property
    def smuggling(self) -> bool:
        """The session must end: what follows may be a message that the client never meant to send."""
        return self._decoder.fault is Fault.SMUGGLING

    def take(self, data: bytes) -> None:
        """The next piece off the wire. A message that will be refused is no longer kept."""
        piece = self._decoder.feed(data)
        if self._failure is not None:
            return
        if self._decoder.fault is not None:
            self._spool.discard()
            return
        try:
            self._spool.write(piece)
        except MailError as error:
            self._failure = error

    def patience_seconds(self, elapsed: float) -> float:
        """How long the next piece may take, `elapsed` seconds after the first was asked for."""
        earned = self._decoder.size / MIN_BYTES_PER_SECOND
        return max(0.0, min(self._idle_seconds, self._idle_seconds + earned - elapsed))

    def finish(self) -> Body | bytes:
        """The message, or the reply that refuses it."""
        if self._decoder.fault is not None:
            return replies.DATA_FAULTS[self._decoder.fault]
        try:
            if self._failure is not None:
                raise self._failure
            return self._spool.finish()
        except MailError as error:
            return replies.FAILURES[error.kind]
