# SPDX-License-Identifier: MIT
"""One supervisor for each data folder: a locked file that says who has it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import datetime
from pathlib import Path

LOCK_NAME = "pillarbox.lock"


class AlreadyRunning(Exception):
    """Another supervisor has the folder; the text says who, in a sentence."""


def lock_folder(data: Path) -> int:
    """Lock the folder for as long as this process lives; gives the descriptor that holds the lock.

    The lock goes with the process, however it ends, so that nobody ever has to remove a file by hand.
    """
    path = data / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 4096, 0)
        os.close(descriptor)
        raise AlreadyRunning(_describe(data, holder)) from None
    since = datetime.now().astimezone().isoformat(" ", timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode() + b"\n", 0)
    return descriptor


def _describe(data: Path, holder: bytes) -> str:
    try:
        told = json.loads(holder)
        return f"Pillarbox already runs on {data}: process {told['pid']} on {told['host']}, since {told['since']}."
    except (ValueError, KeyError, TypeError):
        return f"Pillarbox already runs on {data}."
