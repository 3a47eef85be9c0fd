# SPDX-License-Identifier: MIT
"""The dialogue between a daemon and its supervisor, both sides, over a real pair of sockets."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailserver.config.snapshot import Binding
from protocols.net.sockets import binding_of, open_listening
from protocols.supervisor import requests
from protocols.supervisor.ports import Ports
from protocols.supervisor.requests import SupervisedSockets, answer_request, read_requests
from protocols.supervisor.roles import DaemonRole
from tests.support.installation import free_port


class Side:
    """A supervisor's side that runs in a thread, as the role does in the supervisor's loop."""

    def __init__(self) -> None:
        self.ports = Ports()
        self.selector = selectors.DefaultSelector()
        self.role = DaemonRole(Path("manage.py"), {}, self.ports, self.selector)
        start = self.role.prepare()
        self.start = start
        theirs = self.role._theirs
        assert theirs is not None
        self.daemon_end = theirs.dup()
        self.role.started()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set() and self.selector.get_map():
            for key, _ in self.selector.select(0.05):
                key.data()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.role.ended()
        self.ports.close_all()


@pytest.fixture
def side() -> Iterator[Side]:
    made = Side()
    yield made
    made.close()


def test_daemon_gets_a_socket_that_the_supervisor_keeps(side: Side) -> None:
    binding = Binding("127.0.0.1", free_port())
    sockets = SupervisedSockets(side.daemon_end, {})
    with sockets.open(binding) as listening:
        assert binding_of(listening) == binding
        assert listening.gettimeout() == 0
    with socket.create_connection((binding.address, binding.port), timeout=5):
        pass  # the daemon's copy is closed: the supervisor's one took the connection
    side.daemon_end.close()


def test_released_socket_listens_no_more(side: Side) -> None:
    binding = Binding("127.0.0.1", free_port())
    sockets = SupervisedSockets(side.daemon_end, {})
    sockets.open(binding).close()
    sockets.release(binding)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((binding.address, binding.port), timeout=5)
    side.daemon_end.close()


def test_refusal_comes_in_plain_words(side: Side) -> None:
    sockets = SupervisedSockets(side.daemon_end, {})
    with open_listening(Binding("127.0.0.1", 0)) as taken:
        binding = binding_of(taken)
        with pytest.raises(OSError) as refused:
            sockets.open(binding)
    assert refused.value.strerror == f"port {binding.port} is already used by another program"
    sockets.open(binding).close()
    side.daemon_end.close()


def test_ready_is_announced(side: Side) -> None:
    assert not side.role.ready
    SupervisedSockets(side.daemon_end, {}).announce_ready()
    assert side.role.ready
    side.daemon_end.close()


def test_inherited_sockets_are_used_first_and_the_rest_given_back(side: Side) -> None:
    kept, surplus = (side.ports.open(Binding("127.0.0.1", free_port())) for _ in range(2))
    assert kept is not None
    assert surplus is not None
    inherited = {binding_of(listening): listening.dup() for listening in (kept, surplus)}
    sockets = SupervisedSockets(side.daemon_end, inherited)
    assert sockets.open(binding_of(kept)).fileno() == inherited[binding_of(kept)].fileno()
    gone = binding_of(surplus)
    sockets.release_rest()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((gone.address, gone.port), timeout=5)
    inherited[binding_of(kept)].close()
    side.daemon_end.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda sockets: sockets.release(Binding("127.0.0.1", 1)),
        lambda sockets: sockets.announce_ready(),
    ],
)
def test_supervisor_that_is_gone_is_no_fault_of_the_daemon(use: Callable[[SupervisedSockets], None]) -> None:
    here, there = socket.socketpair()
    there.close()
    sockets = SupervisedSockets(here, {})
    use(sockets)
    with pytest.raises(OSError, match="did not answer"):
        sockets.open(Binding("127.0.0.1", 1))
    here.close()


def test_nonsense_ends_the_dialogue_not_the_supervisor(side: Side) -> None:
    side.daemon_end.settimeout(5)
    side.daemon_end.sendall(b"nonsense\n")
    assert side.daemon_end.recv(10) == b""
    side.daemon_end.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SupervisedSockets, socket.socket]]:
    """A daemon whose first request has been answered by nobody in time, and the supervisor's end."""
    monkeypatch.setattr(requests, "ANSWER_SECONDS", 0.05)
    here, there = socket.socketpair()
    sockets = SupervisedSockets(here, {})
    with pytest.raises(OSError, match="did not answer"):
        sockets.open(Binding("127.0.0.1", 1))
    yield sockets, there
    here.close()
    there.close()


def test_late_answer_is_not_taken_for_the_next(impatient: tuple[SupervisedSockets, socket.socket]) -> None:
    sockets, supervisor = impatient
    (late,) = read_requests(supervisor)
    stale, its_peer = socket.socketpair()
    with open_listening(Binding("127.0.0.1", 0)) as wanted, its_peer:
        answer_request(supervisor, late.number, listening=stale)
        stale.close()
        answer_request(supervisor, late.number + 1, listening=wanted)
        with sockets.open(binding_of(wanted)) as given:
            assert binding_of(given) == binding_of(wanted)
        its_peer.settimeout(5)
        assert its_peer.recv(1) == b"", "what the late answer brought is closed"


def test_late_answers_that_come_together_with_the_next(impatient: tuple[SupervisedSockets, socket.socket]) -> None:
    sockets, supervisor = impatient
    sockets.release(Binding("127.0.0.1", 2))  # not answered either
    first, second = read_requests(supervisor)
    with open_listening(Binding("127.0.0.1", 0)) as wanted:
        answer_request(supervisor, first.number, error="taken")
        answer_request(supervisor, second.number)
        answer_request(supervisor, second.number + 1, listening=wanted)
        with sockets.open(binding_of(wanted)) as given:
            assert binding_of(given) == binding_of(wanted)
