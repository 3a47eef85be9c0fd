# SPDX-License-Identifier: MIT
"""A disk that can be filled under a running installation, and given room again.

Where we may mount (root, or user namespaces), it is a small file system of its own, in a name space that only the
installation sees. Elsewhere the daemons' file size limit stands in for it: their files cannot grow any more.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

SIZE_MEGABYTES = 64
PIECE = b"\0" * 65536
NAMESPACES = ((), ("--user", "--map-root-user"))
"""What root needs besides a name space for mounts, and what others need."""


class SmallDisk:
    """The data folder is `data`; processes start with `enter()` in front of them, later ones with `join(pid)`."""

    def __init__(self, folder: Path) -> None:
        """Made anew; finds out what this machine allows."""
        folder.mkdir()
        self.folder = folder
        self.data = folder / "data"
        self._filler: Path | None = None
        self._namespace = next((options for options in NAMESPACES if _works([*self._mounting(options), "true"])), None)

    def enter(self) -> list[str]:
        """The start of a command line whose rest then runs on the small disk."""
        return [] if self._namespace is None else self._mounting(self._namespace)

    def join(self, pid: int) -> list[str]:
        """The start of a command line whose rest sees the disk of process `pid`."""
        if self._namespace is None:
            return []
        user = ["--user", "--preserve-credentials"] if self._namespace else []
        stay = ["sh", "-c", 'cd "$0" && exec "$@"', os.getcwd()]
        return ["nsenter", "--target", str(pid), "--mount", *user, *stay]

    def _mounting(self, options: Sequence[str]) -> list[str]:
        script = f'mount -t tmpfs -o size={SIZE_MEGABYTES}m,mode=777 small "$0" && exec "$@"'
        return ["unshare", *options, "--mount", "sh", "-c", script, str(self.folder)]

    def fill(self, pids: Sequence[int]) -> None:
        """From now on nothing more fits."""
        if self._namespace is None:
            for pid in pids:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return
        self._filler = Path(f"/proc/{pids[0]}/root{self.folder}/filler")
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(PIECE):
                pass

    def free(self, pids: Sequence[int]) -> None:
        """There is room again."""
        if self._filler is None:
            for pid in pids:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return
        os.truncate(self._filler, 0)


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False
