# SPDX-License-Identifier: MIT
"""One supervisor for each data folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from protocols.supervisor.lock import LOCK_NAME, AlreadyRunning, lock_folder


def test_second_one_is_told_who_has_it(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} on {socket.gethostname()}, since 2"):
        lock_folder(tmp_path)
    os.close(held)


def test_lock_goes_with_its_holder(tmp_path: Path) -> None:
    os.close(lock_folder(tmp_path))
    os.close(lock_folder(tmp_path))


def test_damaged_note_does_not_hide_the_lock(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    (tmp_path / LOCK_NAME).write_text("nonsense")
    with pytest.raises(AlreadyRunning, match=r"^Pillarbox already runs on .*\.$"):
        lock_folder(tmp_path)
    os.close(held)


def test_children_do_not_inherit_it(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    assert not os.get_inheritable(held)
    os.close(held)
