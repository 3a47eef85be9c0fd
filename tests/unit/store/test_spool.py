# SPDX-License-Identifier: MIT
"""SpoolWriter: pieces in, one body out, and no file left behind."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from mailserver.errors import Kind, MailError
from mailserver.store.spool import SpoolWriter

LIMIT = 1000


def make_writer(directory: Path) -> SpoolWriter:
    return SpoolWriter(directory, memory_bytes=LIMIT)


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_small_bodies_stay_in_memory(tmp_path: Path, size: int) -> None:
    writer = make_writer(tmp_path / "spool")
    data = os.urandom(size)
    writer.write(data)
    body = writer.finish()
    assert (body.data, body.path, body.size) == (data, None, size)
    assert body.sha256 == hashlib.sha256(data).hexdigest()
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("piece", [1, 7, LIMIT, 5000])
def test_large_bodies_go_to_a_file(tmp_path: Path, piece: int) -> None:
    writer = make_writer(tmp_path / "spool")
    data = os.urandom(5000)
    for start in range(0, len(data), piece):
        writer.write(bytearray(data[start : start + piece]))
    assert writer.size == 5000
    body = writer.finish()
    assert body.data is None
    assert b"".join(body.chunks(1024)) == data
    assert body.head(10) == data[:10]
    assert body.sha256 == hashlib.sha256(data).hexdigest()


def test_discard_removes_the_file_and_may_come_twice(tmp_path: Path) -> None:
    writer = make_writer(tmp_path)
    writer.write(b"x" * (LIMIT + 1))
    assert len(list(tmp_path.iterdir())) == 1
    writer.discard()
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_leaving_the_context_after_the_store_took_the_file_is_harmless(tmp_path: Path) -> None:
    with make_writer(tmp_path / "spool") as writer:
        writer.write(b"x" * (LIMIT + 1))
        body = writer.finish()
        assert body.path is not None
        body.path.rename(tmp_path / "taken")
    assert (tmp_path / "taken").read_bytes() == b"x" * (LIMIT + 1)


def test_leaving_the_context_by_a_failure_removes_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), make_writer(tmp_path) as writer:  # noqa: PT012
        writer.write(b"x" * (LIMIT + 1))
        raise ConnectionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["write", "finish"])
def test_a_full_disk_is_storage_full_and_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """/dev/full refuses every write with ENOSPC, once the buffer is flushed to it."""
    writer = make_writer(tmp_path)
    writer.write(b"x" * (LIMIT + 1))
    assert writer._file is not None
    writer._file.close()
    writer._file = open("/dev/full", "wb", buffering=100_000)  # noqa: SIM115
    with pytest.raises(MailError) as caught:  # noqa: PT012
        writer.write(b"x" * (200_000 if moment == "write" else 10))
        writer.finish()
    assert caught.value.kind is Kind.STORAGE_FULL
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"a file where the folder should be")
    writer = make_writer(tmp_path / "spool")
    with pytest.raises(MailError) as caught:
        writer.write(b"x" * (LIMIT + 1))
    assert caught.value.kind is Kind.UNAVAILABLE
