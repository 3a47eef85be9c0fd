# SPDX-License-Identifier: MIT
"""What a daemon asks of its supervisor: to open a listening socket, to close one, and to hear that it is ready.

Both sides of a small dialogue over a pair of Unix sockets: one JSON line asked, one answered, an open socket passed
along (SCM_RIGHTS). The answer repeats the request's number, so that one that comes too late is not taken for the
next. The supervisor may have rights that the daemon has given up, and it keeps its copy of each socket, so that
connections wait there while a daemon restarts.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mailserver.config.snapshot import Binding
from protocols.net.sockets import inherited_sockets

SUPERVISOR_VARIABLE = "PILLARBOX_SUPERVISOR"
"""The file descriptor of the daemon's end."""
MAX_LINE_BYTES = 4096
ANSWER_SECONDS = 10.0


class SupervisedSockets:
    """The daemon's side; a `SocketSource`. Calls may come from any thread, one is answered at a time."""

    def __init__(self, channel: socket.socket, inherited: Mapping[Binding, socket.socket]) -> None:
        channel.settimeout(ANSWER_SECONDS)
        self._channel = channel
        self._inherited = dict(inherited)
        self._lock = threading.Lock()
        self._number = 0
        self._unread = b""

    def open(self, binding: Binding) -> socket.socket:
        inherited = self._inherited.pop(binding, None)
        if inherited is not None:
            return inherited
        answer, descriptors = self._ask("open", binding)
        if not descriptors:
            raise OSError(errno.EADDRINUSE, answer.get("error") or "the supervisor did not answer")
        listening = socket.socket(fileno=descriptors[0])
        listening.setblocking(False)
        return listening

    def release(self, binding: Binding) -> None:
        self._ask("close", binding)

    def release_rest(self) -> None:
        for binding, listening in self._inherited.items():
            listening.close()
            self.release(binding)
        self._inherited.clear()

    def announce_ready(self) -> None:
        """Everything that can listen does."""
        self._ask("ready", None)

    def _ask(self, request: str, binding: Binding | None) -> tuple[dict[str, Any], list[int]]:
        """The answer and the sockets that came with it; a supervisor that is gone answers nothing."""
        place = [binding.address, binding.port] if binding is not None else []
        with self._lock:
            self._number += 1
            asked = {"number": self._number, "request": request, "binding": place}
            try:
                self._channel.sendall(json.dumps(asked).encode() + b"\n")
                return self._answer_to(self._number)
            except (OSError, EOFError):
                return {}, []

    def _answer_to(self, number: int) -> tuple[dict[str, Any], list[int]]:
        """The answer with this number. Those before it came after their time, and what they brought is closed.

        A socket comes with the last line of what is received at once: the system ends the piece after it (unix(7)).
        """
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._channel, MAX_LINE_BYTES, 1)
            if not data:
                raise EOFError
            *lines, self._unread = (self._unread + data).split(b"\n")
            answers = [json.loads(line) for line in lines]
            if answers and answers[-1]["number"] == number:
                return answers[-1], list(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def connect_to_supervisor(environ: Mapping[str, str]) -> SupervisedSockets | None:
    """The supervisor that started this process; None when it runs alone."""
    text = environ.get(SUPERVISOR_VARIABLE, "")
    if not text:
        return None
    os.set_inheritable(int(text), False)
    return SupervisedSockets(socket.socket(fileno=int(text)), inherited_sockets(environ))


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked: `open`, `close` or `ready`."""

    number: int
    name: str
    binding: Binding | None


def read_requests(channel: socket.socket) -> Iterable[Request]:
    """The supervisor's side: what is asked now. Raises EOFError when the daemon has closed its end."""
    data = channel.recv(MAX_LINE_BYTES)
    if not data:
        raise EOFError
    requests = []
    for line in data.splitlines():
        asked = json.loads(line)
        binding = Binding(*asked["binding"]) if asked["binding"] else None
        requests.append(Request(int(asked["number"]), str(asked["request"]), binding))
    return requests


def answer_request(
    channel: socket.socket, number: int, *, listening: socket.socket | None = None, error: str = ""
) -> None:
    """One line, with the socket if there is one."""
    line = json.dumps({"number": number, "error": error}).encode() + b"\n"
    socket.send_fds(channel, [line], [listening.fileno()] if listening is not None else [])
