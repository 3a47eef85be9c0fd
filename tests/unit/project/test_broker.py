# SPDX-License-Identifier: MIT
"""The broker of files: nothing torn, nothing lost, nothing twice, and no file ends a worker."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError

from mailserver.project.broker import SCHEME, Channel, clear_leftovers, transport_options


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with Connection(f"{SCHEME}://localhost", transport_options=transport_options(tmp_path)) as connection:
        yield connection.channel()


def message(number: int) -> dict[str, Any]:
    return {"body": str(number)}


def test_first_in_first_out(channel: Channel) -> None:
    for number in range(20):
        channel._put("mail", message(number))
    assert channel._size("mail") == 20
    assert [channel._get("mail")["body"] for _ in range(20)] == [str(number) for number in range(20)]
    with pytest.raises(Empty):
        channel._get("mail")


def test_queues_do_not_mix(channel: Channel) -> None:
    channel._put("mail", message(1))
    with pytest.raises(Empty):
        channel._get("ail")
    assert channel._purge("other") == 0
    assert channel._purge("mail") == 1


@pytest.mark.parametrize("content", [b"", b'{"body": "tor', b"[]", b"\xff\xfe", b'"text"', b"{}"])
def test_unreadable_file_is_set_aside_and_the_next_message_comes(
    channel: Channel, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "waiting" / "0000_torn.mail.msg").write_bytes(content)
    channel._put("mail", message(1))
    with caplog.at_level(logging.ERROR):
        assert channel._get("mail") == message(1)
    assert [path.name for path in (tmp_path / "unreadable").iterdir()] == ["0000_torn.mail.msg"]
    assert "set aside" in caplog.text


def test_half_written_message_is_not_seen(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "waiting" / "0000_half.mail.msg.new").write_bytes(b'{"bo')
    with pytest.raises(Empty):
        channel._get("mail")


def test_disk_that_refuses_is_a_channel_error(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "waiting").rmdir()
    with pytest.raises(ChannelError):
        channel._put("mail", message(1))


def test_damaged_exchange_table_is_made_anew(channel: Channel, tmp_path: Path) -> None:
    channel._queue_bind("mail", "mail", "", "mail")
    (tmp_path / "control" / "mail.exchange").write_text("")
    assert channel.get_table("mail") == []
    channel._queue_bind("mail", "mail", "", "mail")
    channel._queue_bind("mail", "mail", "", "mail")
    assert [tuple(row) for row in channel.get_table("mail")] == [("mail", "", "mail")]
    channel._delete("mail", "mail", "mail", "")
    assert channel.get_table("mail") == []


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", ""])
def test_exchange_names_are_not_paths(channel: Channel, name: str) -> None:
    with pytest.raises(ChannelError):
        channel.get_table(name)


def put_many(folder: Path, first: int, count: int) -> None:
    with Connection(f"{SCHEME}://localhost", transport_options=transport_options(folder)) as connection:
        channel = connection.channel()
        for number in range(first, first + count):
            channel._put("mail", message(number))


def get_all(folder: Path, total: int, taken: Any) -> None:
    with Connection(f"{SCHEME}://localhost", transport_options=transport_options(folder)) as connection:
        channel = connection.channel()
        while len(taken) < total:
            try:
                taken.append(channel._get("mail")["body"])
            except Empty:
                continue


def test_several_writers_and_readers_lose_nothing_and_take_nothing_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    each, writers = 150, 2
    with context.Manager() as manager:
        taken = manager.list()
        processes = [context.Process(target=put_many, args=(tmp_path, n * each, each)) for n in range(writers)]
        processes += [context.Process(target=get_all, args=(tmp_path, each * writers, taken)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert sorted(map(int, taken)) == list(range(each * writers))
    assert not list((tmp_path / "taken").iterdir())


def test_leftovers_are_cleared_after_their_time(tmp_path: Path) -> None:
    transport_options(tmp_path)
    for name in ("taken/1.mail.msg", "unreadable/2.mail.msg", "waiting/3.mail.msg.new", "waiting/4.mail.msg"):
        (tmp_path / name).write_bytes(b"x")
    written = (tmp_path / "taken/1.mail.msg").stat().st_mtime
    assert clear_leftovers(tmp_path, written - 60) == 0
    assert clear_leftovers(tmp_path, written + 60) == 3
    assert (tmp_path / "waiting/4.mail.msg").exists()
