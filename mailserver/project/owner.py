# SPDX-License-Identifier: MIT
"""Whoever runs a command as root acts as the data folder's owner, so that no file becomes unreadable to the server."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path


def find_owner(data: Path) -> pwd.struct_passwd | None:
    """The user who owns the data folder; None where that is root, nobody known, or there is no folder yet."""
    try:
        owner = data.stat().st_uid
        return pwd.getpwuid(owner) if owner != 0 else None
    except (FileNotFoundError, KeyError):
        return None


def become(user: pwd.struct_passwd) -> None:
    """Give up root for good. Raises PermissionError when this process is not root."""
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ["HOME"] = user.pw_dir


def explain_unreadable(user: str) -> str:
    """Why that user cannot do it, for the person who started it as root."""
    return (
        f"{user} may not read the program or its Python ({sys.executable}): install Pillarbox where every user can"
        " read it, for example in /opt/pillarbox."
    )


def act_as_owner(environ: Mapping[str, str]) -> None:
    """Called by `manage.py` before anything of the data folder is touched; ends the program with a sentence."""
    if os.geteuid() != 0:
        return
    owner = find_owner(Path(environ.get("PILLARBOX_DATA") or "data"))
    if owner is None:
        return
    become(owner)
    if not (os.access(__file__, os.R_OK) and os.access(os.__file__, os.R_OK)):
        raise SystemExit(explain_unreadable(owner.pw_name))
