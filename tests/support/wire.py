# SPDX-License-Identifier: MIT
"""A client that says whatever a test wants, byte by byte, and reads lines with a deadline."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from types import TracebackType

PATIENCE_SECONDS = 20.0


class Wire:
    """One connection to loopback; a context manager."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of it, or as much as the server takes before it ends the connection."""
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line without its end; b"" once the server has closed."""
        while b"\r\n" not in self._buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def reply(self) -> bytes:
        """The last line of an SMTP reply."""
        while (line := self.line())[3:4] == b"-":
            pass
        return line

    def ask(self, command: bytes) -> bytes:
        """Send one command line and give the last line of the reply."""
        self.send(command + b"\r\n")
        return self.reply()

    def rest(self) -> list[bytes]:
        """Every line until the server closes."""
        return list(iter(self.line, b""))

    def switch_to_tls(self) -> None:
        """The client's side of the handshake, any certificate accepted."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        self._buffer = b""


def smtp_session(port: int) -> Wire:
    """Greeted, and past EHLO."""
    wire = Wire(port)
    assert wire.reply().startswith(b"220 ")
    assert wire.ask(b"EHLO hostile.test").startswith(b"250 ")
    return wire


def pop3_session(port: int, user: str, password: str) -> Wire:
    """Greeted, and logged in."""
    wire = Wire(port)
    for command in (None, f"USER {user}", f"PASS {password}"):
        if command is not None:
            wire.send(command.encode() + b"\r\n")
        assert wire.line().startswith(b"+OK")
    return wire
