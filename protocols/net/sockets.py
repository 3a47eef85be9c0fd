# SPDX-License-Identifier: MIT
"""Listening sockets: opening one, saying plainly why that failed, and taking over those that a parent opened.

Used by the daemon and, without Django, by the supervisor.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from ipaddress import ip_address

from mailserver.config.snapshot import Binding

BACKLOG = 1024
"""Connections that wait to be accepted: what arrives while a daemon restarts (Linux caps it at somaxconn)."""
SOCKETS_VARIABLE = "PILLARBOX_SOCKETS"
"""File descriptors of listening sockets that the supervisor passes on, with commas between."""
SYSTEMD_FIRST_DESCRIPTOR = 3
"""sd_listen_fds(3)."""

PRIVILEGED_BELOW = 1024


def open_listening(binding: Binding) -> socket.socket:
    """A non-blocking socket that listens there. Raises OSError.

    `::` takes IPv4 as well, unless something already listens on 0.0.0.0 with the same port.
    """
    if ":" not in binding.address:
        return _open(socket.AF_INET, binding, v6_only=False)
    everything = binding.address == "::"
    try:
        return _open(socket.AF_INET6, binding, v6_only=not everything)
    except OSError as error:
        if not everything or error.errno != errno.EADDRINUSE:
            raise
        return _open(socket.AF_INET6, binding, v6_only=True)


def _open(family: socket.AddressFamily, binding: Binding, *, v6_only: bool) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6_only))
        listening.bind((binding.address, binding.port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def explain(error: OSError, binding: Binding) -> str:
    """Why a socket could not be opened, for the person at the machine."""
    if error.errno == errno.EADDRINUSE:
        return f"port {binding.port} is already used by another program"
    if error.errno == errno.EACCES and binding.port < PRIVILEGED_BELOW:
        return f"ports below {PRIVILEGED_BELOW} need more rights: start as root with --user NAME"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {binding.address}"
    if error.errno == errno.EAFNOSUPPORT:
        return "this machine has no IPv6"
    return error.strerror or str(error)


def format_binding(binding: Binding) -> str:
    """Address and port as people write them."""
    return f"[{binding.address}]:{binding.port}" if ":" in binding.address else f"{binding.address}:{binding.port}"


def binding_of(listening: socket.socket) -> Binding:
    """Where an open socket listens."""
    host, port = listening.getsockname()[:2]
    return Binding(str(ip_address(host.partition("%")[0])), port)


def inherited_sockets(environ: Mapping[str, str]) -> dict[Binding, socket.socket]:
    """Listening sockets opened by whoever started this process: our supervisor, or systemd (LISTEN_FDS)."""
    descriptors = [int(text) for text in environ.get(SOCKETS_VARIABLE, "").split(",") if text]
    if environ.get("LISTEN_PID") == str(os.getpid()):
        count = int(environ.get("LISTEN_FDS", "0"))
        descriptors += range(SYSTEMD_FIRST_DESCRIPTOR, SYSTEMD_FIRST_DESCRIPTOR + count)
    inherited = {}
    for descriptor in descriptors:
        listening = socket.socket(fileno=descriptor)
        listening.setblocking(False)
        os.set_inheritable(descriptor, False)
        inherited[binding_of(listening)] = listening
    return inherited
