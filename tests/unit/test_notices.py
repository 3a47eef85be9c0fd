# SPDX-License-Identifier: MIT
"""Notices by datagram sockets in the data folder: the embedded way."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver import notices
from mailserver.notices import EVERYTHING, _pack, _publish_by_sockets, _SocketListener
from tests.support.waiting import wait_until


@pytest.fixture
def folder(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return data_folder / "run" / "notices"


@pytest.fixture
def listener(folder: Path) -> Iterator[_SocketListener]:
    made = _SocketListener(folder)
    yield made
    made.close()
    made.receive(0)


def test_every_listener_hears(folder: Path, listener: _SocketListener) -> None:
    other = _SocketListener(folder)
    _publish_by_sockets(["settings mailbox:4"])
    for heard in (listener, other):
        assert heard.receive(5) == {"settings", "mailbox:4"}
        assert heard.receive(0) == frozenset()
    other.close()
    other.receive(0)


def test_socket_that_nobody_holds_is_removed(folder: Path, listener: _SocketListener) -> None:
    dead = _SocketListener(folder)
    dead._socket.close()
    assert len(list(folder.iterdir())) == 2
    _publish_by_sockets(["settings"])
    assert len(list(folder.iterdir())) == 1
    assert listener.receive(5) == {"settings"}


def test_listener_that_was_too_slow_hears_that_everything_may_have_changed(
    folder: Path, listener: _SocketListener
) -> None:
    for number in range(500):
        _publish_by_sockets([f"mailbox:{number}"])
    heard = listener.receive(5)
    assert {"mailbox:0", EVERYTHING} <= heard
    assert "mailbox:499" not in heard
    _publish_by_sockets(["mailbox:500"])
    assert listener.receive(5) == {"mailbox:500"}


def test_process_without_a_free_descriptor_goes_on(listener: _SocketListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that files mail publishes: what it raised would end it."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(notices, "_sender", None)
        patched.setattr(socket, "socket", refuse)
        _publish_by_sockets(["settings"])
    _publish_by_sockets(["work"])
    assert listener.receive(5) == {"work"}


def test_nobody_listens(folder: Path) -> None:
    _publish_by_sockets(["settings"])
    assert not folder.exists()


def test_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path, settings: object) -> None:
    settings.DATA = tmp_path / ("x" * 120)  # type: ignore[attr-defined]
    listener = _SocketListener(settings.DATA / "run" / "notices")  # type: ignore[attr-defined]
    _publish_by_sockets(["settings"])
    assert listener.receive(5) == {"settings"}
    listener.close()
    listener.receive(0)


def test_closing_ends_a_wait(listener: _SocketListener) -> None:
    heard: list[frozenset[str]] = []
    thread = threading.Thread(target=lambda: heard.append(listener.receive(60)))
    thread.start()
    listener.close()
    thread.join(5)
    assert heard == [frozenset()]
    assert listener.receive(60) == frozenset()


def test_socket_file_goes_with_its_listener(folder: Path) -> None:
    listener = _SocketListener(folder)
    listener.close()
    listener.receive(0)
    assert list(folder.iterdir()) == []


def test_many_topics_are_packed_into_notices_that_fit() -> None:
    topics = [notices.mailbox_topic(number) for number in range(3000)]
    packed = list(_pack([*topics, *topics]))
    assert all(len(text.encode()) < 8000 for text in packed)
    assert [topic for text in packed for topic in text.split()] == topics
    assert list(_pack([])) == []


def test_burst_from_many_threads_is_never_lost(listener: _SocketListener) -> None:
    """Each topic arrives, or word that something was missed, and that without a further notice."""
    topics = {f"mailbox:{number}" for number in range(64)}
    threads = [threading.Thread(target=_publish_by_sockets, args=([topic],)) for topic in topics]
    heard: set[str] = set()
    for thread in threads:
        thread.start()
    wait_until(lambda: heard.update(listener.receive(0.1)) or EVERYTHING in heard or topics <= heard, 10, "all topics")
    for thread in threads:
        thread.join()


def test_listener_keeps_up_with_a_burst(folder: Path) -> None:
    """The race that matters: the queue is emptied between the refusal and the word that is left."""
    for _ in range(20):
        listener = _SocketListener(folder)
        heard: set[str] = set()

        def listen(listener: _SocketListener = listener, heard: set[str] = heard) -> None:
            while not {"last", EVERYTHING} & heard:
                heard.update(listener.receive(5))

        thread = threading.Thread(target=listen)
        thread.start()
        for number in range(200):
            _publish_by_sockets([f"mailbox:{number}"])
        _publish_by_sockets(["last"])
        thread.join(10)
        assert not thread.is_alive()
        listener.close()
        listener.receive(0)
