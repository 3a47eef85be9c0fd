# SPDX-License-Identifier: MIT
"""What a failing disk means to the domain, and writing that survives a power cut."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mailserver.errors import Kind, MailError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, no quota left, or a file larger than the process may write."""


def storage_error(error: OSError) -> MailError:
    """STORAGE_FULL when there is no room, UNAVAILABLE for anything else that a disk can say."""
    return MailError(Kind.STORAGE_FULL if error.errno in FULL else Kind.UNAVAILABLE, str(error))


def sync_directory(path: Path) -> None:
    """Make names that were added to this folder, or renamed into it, survive a power cut; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
