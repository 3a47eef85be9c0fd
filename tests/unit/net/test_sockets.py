# SPDX-License-Identifier: MIT
"""Opening listening sockets, the words when that fails, and taking over those that a parent opened."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from mailserver.config.snapshot import Binding
from protocols.net.sockets import (
    SOCKETS_VARIABLE,
    binding_of,
    explain,
    format_binding,
    inherited_sockets,
    open_listening,
)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_open_socket_takes_connections(address: str) -> None:
    with open_listening(Binding(address, 0)) as listening:
        socket.create_connection(listening.getsockname()[:2], timeout=5).close()


def test_all_addresses_takes_ipv4_as_well() -> None:
    with open_listening(Binding("::", 0)) as listening:
        socket.create_connection(("127.0.0.1", binding_of(listening).port), timeout=5).close()


def test_all_addresses_stands_beside_all_ipv4_addresses_of_the_same_port() -> None:
    with open_listening(Binding("0.0.0.0", 0)) as four, open_listening(Binding("::", binding_of(four).port)) as six:
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_second_opening_is_refused_in_plain_words() -> None:
    with open_listening(Binding("127.0.0.1", 0)) as first:
        binding = binding_of(first)
        with pytest.raises(OSError) as refused:
            open_listening(binding)
    assert explain(refused.value, binding) == f"port {binding.port} is already used by another program"


def test_foreign_address_is_refused_in_plain_words() -> None:
    binding = Binding("192.0.2.1", 0)
    with pytest.raises(OSError) as refused:
        open_listening(binding)
    assert explain(refused.value, binding) == "this machine has no address 192.0.2.1"


@pytest.mark.parametrize(
    ("number", "binding", "words"),
    [
        (errno.EACCES, Binding("0.0.0.0", 25), "ports below 1024 need more rights: start as root with --user NAME"),
        (errno.EACCES, Binding("0.0.0.0", 2025), os.strerror(errno.EACCES)),
        (errno.EAFNOSUPPORT, Binding("::1", 25), "this machine has no IPv6"),
    ],
)
def test_other_reasons(number: int, binding: Binding, words: str) -> None:
    assert explain(OSError(number, os.strerror(number)), binding) == words


def test_formats_bindings_as_people_write_them() -> None:
    assert format_binding(Binding("127.0.0.1", 25)) == "127.0.0.1:25"
    assert format_binding(Binding("::", 25)) == "[::]:25"


def test_takes_over_from_the_supervisor() -> None:
    with open_listening(Binding("127.0.0.1", 0)) as first, open_listening(Binding("::1", 0)) as second:
        bindings = {binding_of(first), binding_of(second)}
        numbers = [os.dup(first.fileno()), os.dup(second.fileno())]
        inherited = inherited_sockets({SOCKETS_VARIABLE: ",".join(map(str, numbers))})
    assert set(inherited) == bindings
    for listening in inherited.values():
        assert not listening.get_inheritable()
        assert listening.gettimeout() == 0
        listening.close()


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    assert inherited_sockets({"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "2"}) == {}
