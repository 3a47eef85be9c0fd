# SPDX-License-Identifier: MIT
"""Whom the supervisor becomes, and that giving up root is for good but for low ports (needs root to be tried)."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from mailserver.project import owner
from protocols.supervisor import privileges
from protocols.supervisor.lock import LOCK_NAME
from protocols.supervisor.privileges import WrongUser, choose_user, make_folder

SOMEBODY = pwd.struct_passwd(("somebody", "x", 4711, 4711, "", "/home/somebody", "/bin/sh"))
OTHER = pwd.struct_passwd(("other", "x", 4712, 4712, "", "/home/other", "/bin/sh"))


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"somebody": SOMEBODY, "other": OTHER, "root": pwd.struct_passwd(("root", "x", 0, 0, "", "/root", ""))}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", users.__getitem__)


def owned_by(monkeypatch: pytest.MonkeyPatch, user: pwd.struct_passwd | None) -> None:
    monkeypatch.setattr(privileges, "find_owner", lambda data: user)


@pytest.mark.usefixtures("as_root")
def test_root_becomes_the_named_user_or_the_folders_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    owned_by(monkeypatch, None)
    assert choose_user(None, tmp_path) is None
    assert choose_user("somebody", tmp_path) == SOMEBODY
    assert choose_user("root", tmp_path) is None
    owned_by(monkeypatch, SOMEBODY)
    assert choose_user(None, tmp_path) == SOMEBODY
    assert choose_user("somebody", tmp_path) == SOMEBODY


@pytest.mark.usefixtures("as_root")
def test_refuses_what_would_lock_somebody_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    owned_by(monkeypatch, SOMEBODY)
    with pytest.raises(WrongUser, match="belongs to somebody: start with --user somebody"):
        choose_user("other", tmp_path)
    with pytest.raises(WrongUser, match="no user 'nobody-here'"):
        choose_user("nobody-here", tmp_path)


def test_only_root_can_become_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SOMEBODY)
    assert choose_user(None, tmp_path) is None
    assert choose_user("somebody", tmp_path) is None
    with pytest.raises(WrongUser, match="Only root"):
        choose_user("other", tmp_path)


@pytest.fixture
def given_away(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what got another owner."""
    names: list[str] = []
    monkeypatch.setattr(os, "lchown", lambda path, uid, gid: names.append(Path(path).name))
    return names


def test_folder_that_root_made_is_handed_over(given_away: list[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_folder(data, SOMEBODY)
    assert data.stat().st_mode & 0o777 == 0o700
    (data / "lost+found").mkdir()
    make_folder(data, SOMEBODY)
    (data / LOCK_NAME).touch()
    (data / "blobs").mkdir()
    given_away.clear()
    make_folder(data, SOMEBODY)
    assert sorted(given_away) == ["blobs", "data", "lost+found", LOCK_NAME]


def test_folder_of_something_else_is_not_given_away(given_away: list[str], tmp_path: Path) -> None:
    """`--data /var/lib` where `--data /var/lib/pillarbox` was meant."""
    (tmp_path / "dpkg").mkdir()
    with pytest.raises(WrongUser, match=f"{tmp_path} holds something else"):
        make_folder(tmp_path, SOMEBODY)
    assert given_away == []
    make_folder(tmp_path, None)


def test_owner_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert owner.find_owner(tmp_path / "none") is None


GIVE_UP = """
import os, pwd, socket
from protocols.supervisor.privileges import give_up_root
give_up_root(pwd.getpwnam("nobody"))
with socket.socket() as low:
    low.bind(("127.0.0.1", PORT))
try:
    os.setuid(0)
except PermissionError:
    print("root is gone, low ports are not")
"""


@pytest.mark.parametrize("port", [871])
def test_root_is_given_up_but_for_low_ports(port: int) -> None:
    """Tried where the suite runs as root, as it does in CI; elsewhere nobody could give anything up."""
    script = GIVE_UP.replace("PORT", str(port))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if os.geteuid() == 0:
        assert (done.stdout, done.stderr) == ("root is gone, low ports are not\n", "")
    else:
        assert "PermissionError" in done.stderr
