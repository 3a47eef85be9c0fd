# SPDX-License-Identifier: MIT
"""Keeping a process alive: when it is started again, what it leaves behind, how it is ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.supervisor.children import Child, Role, Start, restart_wait
from tests.support.waiting import wait_until


class Script(Role):
    """Runs a line of Python."""

    name = "script"
    ready = True

    def __init__(self, code: str) -> None:
        self.code = code
        self.told: list[str] = []

    def prepare(self) -> Start:
        return Start((sys.executable, "-c", self.code), os.environ)

    def started(self) -> None:
        self.told.append("started")

    def ended(self) -> None:
        self.told.append("ended")


@pytest.fixture
def made() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        child.kill()


@pytest.mark.parametrize(("deaths", "wait"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (1000, 30.0)])
def test_waits_longer_after_each_quick_death(deaths: int, wait: float) -> None:
    assert restart_wait(deaths) == wait


def test_one_that_served_is_back_within_a_second_however_often_it_dies() -> None:
    assert restart_wait(1000, was_ready=True) == 1.0


@pytest.mark.parametrize(("says_ready", "longest"), [(True, 1.0), (False, 30.0)])
def test_readiness_counts_when_the_process_itself_tells_it(
    says_ready: bool, longest: float, tmp_path: Path, made: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    role = Script("raise SystemExit(3)")
    role.says_ready = says_ready
    waits: list[bool] = []
    monkeypatch.setattr(
        "protocols.supervisor.children.restart_wait", lambda deaths, *, was_ready: waits.append(was_ready) or 0.0
    )
    child = Child(role, tmp_path)
    made.append(child)
    child.start()
    wait_until(child.find_death, 10, "its end")
    assert [restart_wait(1000, was_ready=was_ready) for was_ready in waits] == [longest]


def test_quick_death_is_told_and_the_next_start_waits(tmp_path: Path, made: list[Child]) -> None:
    role = Script("raise SystemExit(3)")
    child = Child(role, tmp_path)
    made.append(child)
    child.start()
    assert wait_until(child.find_death, 10, "its end") == "ended with status 3"
    assert role.told == ["started", "ended"]
    assert child.pid is None
    assert child.start_at is not None
    assert child.find_death() is None


def test_orderly_end_is_followed_by_a_start_at_once(tmp_path: Path, made: list[Child]) -> None:
    child = Child(Script("pass"), tmp_path)
    made.append(child)
    child.start()
    wait_until(child.find_death, 10, "its end")
    ended_at = child.start_at
    assert ended_at is not None
    child.start()
    wait_until(child.find_death, 10, "its second end")


def test_killed_process_takes_its_own_children_along(tmp_path: Path, made: list[Child]) -> None:
    note = tmp_path / "grandchild"
    code = (
        "import subprocess, sys, signal\n"
        "process = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        f"open({str(note)!r}, 'w').write(str(process.pid))\n"
        "signal.pause()\n"
    )
    child = Child(Script(code), tmp_path)
    made.append(child)
    child.start()
    grandchild = int(wait_until(lambda: note.exists() and note.read_text(), 10, "the grandchild"))
    assert child.pid is not None
    os.kill(child.pid, 9)
    assert wait_until(child.find_death, 10, "its end") == "was killed by SIGKILL"
    wait_until(lambda: is_gone(grandchild), 10, "the grandchild's end")


def test_asked_to_end_it_ends_by_sigterm(tmp_path: Path, made: list[Child]) -> None:
    child = Child(Script("import signal; signal.pause()"), tmp_path)
    made.append(child)
    child.start()
    child.ask_to_end()
    assert wait_until(child.find_death, 10, "its end") == "was killed by SIGTERM"


def is_gone(pid: int) -> bool:
    """Ended; a zombie that nobody buries counts as gone."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
