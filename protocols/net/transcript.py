# SPDX-License-Identifier: MIT
"""The wire log of one session: commands and replies, one line each, secrets blanked by whoever logs them."""

from __future__ import annotations

from mailserver import logs
from mailserver.values import Client

MAX_LINE_LENGTH = 1000
"""Longer commands are cut: a log is read by people."""


class Transcript:
    """Writes nothing: the log is off for this service."""

    enabled = False

    def received(self, line: bytes) -> None:
        """A command, with secrets already blanked."""

    def sent(self, reply: bytes) -> None:
        """A reply; only the first line of a message body is ever given."""

    def note(self, text: str) -> None:
        """Something that happened: TLS, a failed login with its true reason, the end."""


SILENT = Transcript()


class FileTranscript(Transcript):
    """Writes to the session log of the protocol, such as `pop3svr.log` (spec services 6.2).

    Each line names the session as the status page does, so that the two can be put side by side (spec services 6.3).
    """

    enabled = True

    def __init__(self, client: Client, service: str) -> None:
        self._file = f"{client.protocol.value}svr"
        self._session = client.session
        self.note(f"{service}: connection from {client.address} port {client.port}")

    def received(self, line: bytes) -> None:
        self._write("<", _printable(line))

    def sent(self, reply: bytes) -> None:
        for line in reply.rstrip(b"\r\n").split(b"\r\n"):
            self._write(">", _printable(line))

    def note(self, text: str) -> None:
        self._write("-", text)

    def _write(self, mark: str, text: str) -> None:
        logs.session(self._file, f"({self._session}) {mark} {text}")


def _printable(line: bytes) -> str:
    """One line whatever the peer sent: control characters would let it forge entries."""
    text = line.rstrip(b"\r\n")[:MAX_LINE_LENGTH].decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
