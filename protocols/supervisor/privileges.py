# SPDX-License-Identifier: MIT
"""Giving up root once the ports are open, and keeping the one right to open others later.

A service that is moved to port 25 in the console must be able to get it: the supervisor keeps CAP_NET_BIND_SERVICE
(Linux, capabilities(7)), which the processes it starts do not inherit. Elsewhere such a change needs a restart.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mailserver.project.owner import become, find_owner
from protocols.supervisor.lock import LOCK_NAME

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
CAP_NET_BIND_SERVICE = 10
CAPABILITY_VERSION = 0x20080522


class WrongUser(Exception):
    """There is no such user, or the data folder is somebody else's; the text is a sentence."""


def choose_user(name: str | None, data: Path) -> pwd.struct_passwd | None:
    """Whom to become: the user who was named, else the owner of the data folder; None when there is nothing to do."""
    if os.geteuid() != 0:
        if name and pwd.getpwuid(os.geteuid()).pw_name != name:
            raise WrongUser("Only root can become another user: leave --user out, or start as root.")
        return None
    owner = find_owner(data)
    if not name:
        return owner
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise WrongUser(f"There is no user {name!r} on this machine.") from None
    if owner is not None and owner.pw_uid != user.pw_uid:
        raise WrongUser(f"The data folder {data} belongs to {owner.pw_name}: start with --user {owner.pw_name}.")
    return user if user.pw_uid != 0 else None


def make_folder(data: Path, user: pwd.struct_passwd | None) -> None:
    """The data folder, for its owner's eyes only. One that root made before `--user` was thought of is handed over.

    Raises WrongUser rather than give away a folder that is no data folder.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if user is None or data.stat().st_uid == user.pw_uid:
        return
    if not (data / LOCK_NAME).exists() and any(path.name != "lost+found" for path in data.iterdir()):
        raise WrongUser(f"The folder {data} holds something else: name one that is empty, or not there yet.")
    for path in [data, *data.rglob("*")]:
        os.lchown(path, user.pw_uid, user.pw_gid)


def give_up_root(user: pwd.struct_passwd) -> None:
    """Become the user, keeping only the right to open low ports (where the system can do that)."""
    library = _library()
    if library is not None:
        library.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    become(user)
    if library is not None:
        _keep_only(library, CAP_NET_BIND_SERVICE)


def die_with_parent() -> Callable[[], None] | None:
    """For a child, before it runs its program: be told to end when the supervisor is gone, however it went (Linux)."""
    library = _library()
    if library is None:
        return None

    def ask_kernel() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return ask_kernel


def _keep_only(library: ctypes.CDLL, capability: int) -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    bit = 1 << capability
    data = (ctypes.c_uint32 * 6)(bit, bit, 0, 0, 0, 0)
    library.capset(header, data)


def _library() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):
        return ctypes.CDLL(None)
    return None
