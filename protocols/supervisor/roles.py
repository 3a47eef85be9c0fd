# SPDX-License-Identifier: MIT
"""What the supervised processes are: what each is started with, and how it is known to be ready.

Each also runs alone with the same command (design section 2).
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from mailserver.config.snapshot import Binding
from protocols.net.sockets import SOCKETS_VARIABLE, format_binding
from protocols.supervisor.children import Role, Start
from protocols.supervisor.ports import Ports
from protocols.supervisor.requests import SUPERVISOR_VARIABLE, Request, answer_request, read_requests

PROBE_SECONDS = 5.0
WORKER = (
    *(
        "-m",
        "celery",
        "-q",
        "--skip-checks",
        "-A",
        "mailserver.project",
        "worker",
        "-B",
        "--pool",
        "threads",
        "--concurrency",
        "6",
    ),
    *("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
)
WEB = (
    *("-m", "uvicorn", "mailserver.project.asgi:application", "--lifespan", "off", "--ws", "none"),
    *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "3"),
)


class WorkerRole(Role):
    """Celery's worker with its beat. Nothing connects to it, so nothing waits for it to be ready."""

    name = "worker"
    ready = True

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def prepare(self) -> Start:
        return Start((sys.executable, *WORKER), self._environment, quiet=True)


class DaemonRole(Role):
    """`manage.py serve`: gets every open port, and asks for others when bindings change."""

    name = "serve"
    says_ready = True

    def __init__(
        self, manage: Path, environment: Mapping[str, str], ports: Ports, selector: selectors.BaseSelector
    ) -> None:
        self._manage = manage
        self._environment = environment
        self._ports = ports
        self._selector = selector
        self._channel: socket.socket | None = None
        self._theirs: socket.socket | None = None
        self.ready = False

    def prepare(self) -> Start:
        self._channel, self._theirs = socket.socketpair()
        sockets = self._ports.descriptors()
        environment = {
            **self._environment,
            SOCKETS_VARIABLE: ",".join(map(str, sockets)),
            SUPERVISOR_VARIABLE: str(self._theirs.fileno()),
        }
        descriptors = (*sockets, self._theirs.fileno())
        return Start((sys.executable, str(self._manage), "serve"), environment, descriptors)

    def started(self) -> None:
        assert self._channel is not None
        assert self._theirs is not None
        self._theirs.close()
        self._selector.register(self._channel, selectors.EVENT_READ, self._on_request)

    def ended(self) -> None:
        self.ready = False
        self._hang_up()

    def _on_request(self) -> None:
        assert self._channel is not None
        try:
            for request in read_requests(self._channel):
                self._answer(self._channel, request)
        except (EOFError, OSError, ValueError):
            self._hang_up()

    def _answer(self, channel: socket.socket, request: Request) -> None:
        binding = request.binding
        if request.name == "open" and binding is not None:
            listening = self._ports.open(binding)
            answer_request(channel, request.number, listening=listening, error=self._ports.errors.get(binding, ""))
            return
        if request.name == "close" and binding is not None:
            self._ports.close(binding)
        elif request.name == "ready":
            self.ready = True
        answer_request(channel, request.number)

    def _hang_up(self) -> None:
        if self._channel is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None


class WebRole(Role):
    """uvicorn with the console, on a socket opened here; ready when it has answered a first request."""

    name = "web console"
    says_ready = True

    def __init__(self, environment: Mapping[str, str], binding: Binding, selector: selectors.BaseSelector) -> None:
        self._environment = environment
        self._binding = binding
        self._selector = selector
        self._ports = Ports()
        self._probe: socket.socket | None = None
        self.ready = False

    def open_port(self) -> str:
        """Why the port cannot be had, in plain words; nothing when it is open."""
        self._ports.open(self._binding)
        return self._ports.errors.get(self._binding, "")

    @property
    def startable(self) -> bool:
        return not self.open_port()

    def prepare(self) -> Start:
        listening = self._ports.open(self._binding)
        descriptors = [listening.fileno()] if listening is not None else []
        arguments = (sys.executable, *WEB, "--fd", str(descriptors[0]))
        return Start(arguments, self._environment, descriptors)

    def started(self) -> None:
        """A request waits in the socket's queue until the console takes it: its answer is the sign."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._binding.address, self._binding.address)  # noqa: S104
        self._probe = socket.create_connection((host, self._binding.port), timeout=PROBE_SECONDS)
        request = f"GET / HTTP/1.0\r\nHost: {format_binding(Binding(host, self._binding.port))}\r\n\r\n"
        self._probe.sendall(request.encode())
        self._selector.register(self._probe, selectors.EVENT_READ, self._on_answer)

    def ended(self) -> None:
        self.ready = False
        self._forget_probe()

    def _on_answer(self) -> None:
        self.ready = True
        self._forget_probe()

    def _forget_probe(self) -> None:
        if self._probe is not None:
            self._selector.unregister(self._probe)
            self._probe.close()
            self._probe = None
