# SPDX-License-Identifier: MIT
"""What a task that speaks to other servers works with: joined once in each worker process, handed on as an argument."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from mailserver.config.snapshot import Snapshot
from mailserver.config.watch import SnapshotWatcher
from mailserver.hooks.interface import Hooks
from mailserver.store.interface import MailStore
from mailserver.store.opening import open_store
from protocols.net.offload import Offload, ThreadOffload


@dataclass(frozen=True, slots=True)
class WorkerTools:
    """`snapshot` gives the settings as they are now; `store` files; `offload` calls services from coroutines."""

    store: MailStore
    offload: Offload
    hooks: Hooks
    snapshot: Callable[[], Snapshot]


_lock = threading.Lock()
_tools: WorkerTools | None = None
_watcher: SnapshotWatcher | None = None


def worker_tools() -> WorkerTools:
    """Those of this process, made when they are first asked for, with the settings as they are now.

    Blocks: call it from a task's own thread, at the beginning of each run.
    """
    global _tools, _watcher
    with _lock:
        if _tools is None:
            _watcher = SnapshotWatcher()
            _tools = WorkerTools(open_store(), ThreadOffload(), Hooks(), _watcher.current)
        elif _watcher is not None:
            _watcher.refresh_if_changed()
        return _tools


def close_tools() -> None:
    """Write what has been submitted, at the end of the process."""
    global _tools
    with _lock:
        if _tools is not None:
            _tools.store.close()
            if isinstance(_tools.offload, ThreadOffload):
                _tools.offload.close()
            _tools = None
