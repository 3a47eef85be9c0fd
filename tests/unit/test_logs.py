# SPDX-License-Identifier: MIT
"""Log files: whole lines from several writers, rotation without loss, and a disk that refuses."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver import logs
from mailserver.logs import LogFile, LogWriter


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """`logs.start` changes the root logger; put it back."""
    root, security = logging.getLogger(), logging.getLogger("pillarbox.security")
    kept = list(root.handlers), root.level, list(security.handlers), security.propagate
    yield
    root.handlers[:], security.handlers[:] = kept[0], kept[2]
    root.setLevel(kept[1])
    security.propagate = kept[3]
    logs._writer = None


def lines_of(folder: Path, name: str) -> list[str]:
    return [
        line
        for ending in (".lbk", ".log")
        if (folder / f"{name}{ending}").exists()
        for line in (folder / f"{name}{ending}").read_text().splitlines()
    ]


def test_writes_lines_with_the_moment_in_front(tmp_path: Path, still_clock: object) -> None:
    writer = LogWriter(tmp_path, 64)
    writer.write("mail", "one")
    writer.write("mail", "two")
    writer.close()
    assert (tmp_path / "mail.log").read_text() == ("2026-03-02 09:30:00.000000Z one\n2026-03-02 09:30:00.000000Z two\n")


def test_full_file_becomes_lbk_and_a_new_one_starts(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "mail.log")
    for number in range(5):
        file.append(f"{number} {'x' * 100}\n", max_bytes=250)
    file.close()
    assert [line.split()[0] for line in lines_of(tmp_path, "mail")] == ["0", "1", "2", "3", "4"]
    assert (tmp_path / "mail.lbk").exists()
    assert (tmp_path / "mail.log").stat().st_size < 250


def test_file_that_somebody_removed_is_made_anew(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "mail.log")
    file.append("one\n", 1000)
    (tmp_path / "mail.log").unlink()
    file.append("two\n", 1000)
    file.close()
    assert (tmp_path / "mail.log").read_text() == "two\n"


def append_many(path: Path, who: str, count: int) -> None:
    file = LogFile(path)
    for number in range(count):
        file.append(f"{who} {number} {'x' * 50}\n", max_bytes=1_000_000)
    file.close()


def test_several_processes_share_a_file_and_rotate_it_once(tmp_path: Path) -> None:
    """One rotation at the most in what is written here, so nothing may be missing, and no line be torn."""
    path = tmp_path / "mail.log"
    writers = [
        multiprocessing.get_context("spawn").Process(target=append_many, args=(path, f"w{number}", 5000))
        for number in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    written = sorted(line.rsplit(" ", 1)[0] for line in lines_of(tmp_path, "mail"))
    assert written == sorted(f"w{who} {number}" for who in range(3) for number in range(5000))


def test_disk_that_refuses_costs_lines_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mail.log").mkdir()
    writer = LogWriter(tmp_path, 64)
    writer.write("mail", "lost")
    writer.write("other", "kept")
    writer.close()
    assert lines_of(tmp_path, "other")
    assert "mail.log cannot be written" in capfd.readouterr().err


def test_flood_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_WAITING_LINES", 0)
    writer = LogWriter(tmp_path, 64)
    writer.write("mail", "dropped")
    writer.close()
    assert "1 log lines were dropped" in (tmp_path / "errors.log").read_text()


@pytest.mark.usefixtures("quiet_logging")
def test_records_go_to_their_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], bug_catcher: object) -> None:
    writer = logs.start("serve", tmp_path, 64)
    logging.getLogger("pillarbox.test").info("started")
    logging.getLogger("pillarbox.test").warning("odd")
    logs.security("login of anna\r\nfailed: forged")
    logs.session("pop3svr", "(1) < QUIT")
    try:
        raise ValueError("the reason")
    except ValueError:
        logging.getLogger("pillarbox.test").exception("broken")
    writer.flush()
    assert "INFO serve" in (tmp_path / "pillarbox.log").read_text()
    errors = (tmp_path / "errors.log").read_text()
    assert "started" not in errors
    assert "odd" in errors
    assert "ValueError: the reason" in errors
    assert len((tmp_path / "security.log").read_text().splitlines()) == 1
    assert "(1) < QUIT" in (tmp_path / "pop3svr.log").read_text()
    said = capsys.readouterr().err
    assert said == f"serve: broken (the details are in {tmp_path / 'errors.log'})\n"
    writer.close()


@pytest.mark.usefixtures("quiet_logging")
def test_a_wake_up_that_is_given_back_is_no_error(tmp_path: Path) -> None:
    """As kombu does it for a worker that stops, at a broker of files and at Redis; nothing is lost."""
    writer = logs.start("worker", tmp_path, 64)
    logging.getLogger("kombu.transport.virtual.base").warning("Requeuing undeliverable message: No consumers.")
    logging.getLogger("kombu.transport.virtual.base").error("Unable to restore messages")
    writer.flush()
    assert "Unable to restore" in (tmp_path / "errors.log").read_text()
    assert "Requeuing" not in (tmp_path / "errors.log").read_text()
    writer.close()


def test_a_process_that_did_not_start_logging_writes_no_session_log(tmp_path: Path) -> None:
    logs.session("pop3svr", "nobody listens")
    assert list(tmp_path.iterdir()) == []
