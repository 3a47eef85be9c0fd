# SPDX-License-Identifier: MIT
"""The listening sockets that outlive the daemons: opened here, passed on, closed when no service wants them."""

from __future__ import annotations

import socket

from mailserver.config.snapshot import Binding
from protocols.net.sockets import explain, open_listening


class Ports:
    """What is open, and in plain words why something is not."""

    def __init__(self) -> None:
        self._open: dict[Binding, socket.socket] = {}
        self.errors: dict[Binding, str] = {}

    def open(self, binding: Binding) -> socket.socket | None:
        """The socket that listens there; None, with the reason in `errors`, when it cannot be had."""
        listening = self._open.get(binding)
        if listening is not None:
            return listening
        try:
            listening = open_listening(binding)
        except OSError as error:
            self.errors[binding] = explain(error, binding)
            return None
        self.errors.pop(binding, None)
        self._open[binding] = listening
        return listening

    def close(self, binding: Binding) -> None:
        """No service listens there any more; one that is not open is passed over."""
        listening = self._open.pop(binding, None)
        if listening is not None:
            listening.close()

    def close_all(self) -> None:
        for binding in list(self._open):
            self.close(binding)

    def descriptors(self) -> list[int]:
        """Of every open socket, to be passed on."""
        return [listening.fileno() for listening in self._open.values()]

    def __len__(self) -> int:
        return len(self._open)
