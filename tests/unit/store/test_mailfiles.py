# SPDX-License-Identifier: MIT
"""Maildir folders and mbox files, read and written."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailserver.store.mailfiles import (
    FORWARDED,
    MaildirWriter,
    MboxWriter,
    is_maildir,
    parse_from_line,
    parse_status,
    read_maildir,
    read_mbox,
)
from mailserver.values import Flag

DATE = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
Read = list[tuple[bytes, frozenset[str], datetime | None]]


def read_all(path: Path) -> Read:
    source = read_maildir(path) if path.is_dir() else read_mbox(path)
    return [(b"".join(message.lines), message.flags, message.date) for message in source]


def make_mbox(folder: Path, data: bytes) -> Path:
    path = folder / "mail"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        (b"", []),
        (b"\n\n", []),
        (
            b"From a\nSubject: x\n\nbody\n\nFrom b\nSubject: y\n\n",
            [b"Subject: x\r\n\r\nbody\r\n", b"Subject: y\r\n\r\n"],
        ),
        (b"From a\r\nSubject: x\r\n\r\nbody\r\n", [b"Subject: x\r\n\r\nbody\r\n"]),
        (
            b"From a\nS: x\n\n>From here\n>>From there\n> From\n",
            [b"S: x\r\n\r\nFrom here\r\n>From there\r\n> From\r\n"],
        ),
        (b"From a\nS: x\n\ntext\nFrom within\n\nmore\n", [b"S: x\r\n\r\ntext\r\nFrom within\r\n\r\nmore\r\n"]),
        (b"From a\nS: x\n\nno end", [b"S: x\r\n\r\nno end\r\n"]),
        (b"From a\nFrom b\nS: x\n\n", [b"", b"S: x\r\n\r\n"]),
        (b"From a\nS: x\n\n\n\nFrom b\nS: y\n\n", [b"S: x\r\n\r\n\r\n", b"S: y\r\n\r\n"]),
    ],
)
def test_an_mbox_is_cut_at_from_lines(tmp_path: Path, data: bytes, bodies: list[bytes]) -> None:
    assert [body for body, _, _ in read_all(make_mbox(tmp_path, data))] == bodies


def test_what_is_not_read_of_a_message_is_passed_over(tmp_path: Path) -> None:
    path = make_mbox(tmp_path, b"From a\nS: x\n\nbody\n\nFrom b\nS: y\n\nother\n")
    assert [message.flags for message in read_mbox(path)] == [frozenset(), frozenset()]


def test_a_file_that_is_no_mbox_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no mbox"):
        list(read_mbox(make_mbox(tmp_path, b"Subject: x\n\nbody\n")))


def test_status_lines_say_flags_and_are_left_out(tmp_path: Path) -> None:
    data = b"From a\nStatus: RO\nSubject: x\nX-Status: AF\nX-Keywords: $Junk (bad) work\n\nStatus: RO\n"
    ((body, flags, _),) = read_all(make_mbox(tmp_path, data))
    assert body == b"Subject: x\r\n\r\nStatus: RO\r\n"
    assert flags == {Flag.SEEN, Flag.ANSWERED, Flag.FLAGGED, "$Junk", "work"}


@pytest.mark.parametrize(
    ("name", "value", "flags"),
    [
        ("status", "O", set()),
        ("status", "RO", {Flag.SEEN}),
        ("x-status", "DT?", {Flag.DELETED, Flag.DRAFT}),
        ("x-keywords", "  a  \\Seen b% ", {"a"}),
    ],
)
def test_status_fields(name: str, value: str, flags: set[str]) -> None:
    assert parse_status(name, value) == flags


@pytest.mark.parametrize(
    ("line", "date"),
    [
        (b"From a@b Sat Feb  3 04:05:06 2001\n", DATE),
        (b"From a b Sat Feb  3 04:05:06 2001 +0100\n", DATE),
        (b"From \n", None),
        (b"From a Sat Feb 31 04:05:06 2001\n", None),
        (b"From \xff\xfe\n", None),
    ],
)
def test_the_date_of_a_from_line(line: bytes, date: datetime | None) -> None:
    assert parse_from_line(line) == date


def test_a_maildir_names_flags_and_its_files_dates(tmp_path: Path) -> None:
    for folder in ("cur", "new", "tmp"):
        (tmp_path / folder).mkdir()
    for age, (name, data) in enumerate(
        {"cur/1.a:2,FS": b"S: 1\n\nx\n", "cur/2.b;2,PRTDx": b"S: 2\r\n\r\n", "new/3.c": b"S: 3\n\nend"}.items()
    ):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (0, DATE.timestamp() + age))
    (tmp_path / "tmp" / "4.d").write_bytes(b"half")
    found = read_all(tmp_path)
    assert is_maildir(tmp_path)
    assert [body for body, _, _ in found] == [b"S: 1\r\n\r\nx\r\n", b"S: 2\r\n\r\n", b"S: 3\r\n\r\nend\r\n"]
    assert [flags for _, flags, _ in found] == [
        {Flag.FLAGGED, Flag.SEEN},
        {FORWARDED, Flag.ANSWERED, Flag.DELETED, Flag.DRAFT},
        set(),
    ]
    assert found[0][2] == DATE


MESSAGE = b"Subject: x\r\n\r\nFrom here\r\n>From there\r\n\r\nend\r\n"
FLAGS = frozenset({Flag.SEEN, Flag.FLAGGED, FORWARDED})


@pytest.mark.parametrize("cut", [1, 2, 7, 100])
def test_an_mbox_that_was_written_reads_the_same(tmp_path: Path, cut: int) -> None:
    writer = MboxWriter(tmp_path / "out.mbox")
    for _ in range(2):
        assert writer.write("", FLAGS, DATE, [MESSAGE[at : at + cut] for at in range(0, len(MESSAGE), cut)])
    assert not (tmp_path / "out.mbox").exists()
    writer.close()
    assert read_all(tmp_path / "out.mbox") == [(MESSAGE, FLAGS, DATE)] * 2
    assert b"\r" not in (tmp_path / "out.mbox").read_bytes()


def test_an_mbox_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.mbox").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        MboxWriter(tmp_path / "out.mbox")


def test_a_maildir_that_was_written_reads_the_same_and_goes_on(tmp_path: Path) -> None:
    first = MaildirWriter(tmp_path / "out")
    assert first.write("1.a", FLAGS, DATE, [MESSAGE])
    second = MaildirWriter(tmp_path / "out")
    assert not second.write("1.a", frozenset(), DATE, [MESSAGE])
    assert second.write("2.b", frozenset(), DATE, [b"S: y\r\n\r\n"])
    assert read_all(tmp_path / "out") == [(MESSAGE, FLAGS, DATE), (b"S: y\r\n\r\n", frozenset(), DATE)]
