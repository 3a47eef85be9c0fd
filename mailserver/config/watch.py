# SPDX-License-Identifier: MIT
"""Holding the present snapshot, and changing it when the revision has changed.

The caller decides when to look: after a notice of the topic SETTINGS, and every `POLL_SECONDS` in case one was lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from mailserver.config.building import SnapshotProblem, build_snapshot
from mailserver.config.revision import current_revision
from mailserver.config.snapshot import Snapshot

POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


class SnapshotWatcher:
    """The one place of a process that has the snapshot. `current` may be called from anywhere, and never blocks."""

    def __init__(
        self, build: Callable[[], Snapshot] = build_snapshot, revision: Callable[[], int] = current_revision
    ) -> None:
        """Builds the first snapshot; raises SnapshotProblem when there is none to fall back on."""
        self._build = build
        self._revision = revision
        self._lock = Lock()
        self._snapshot = build()
        self._refused_revision: int | None = None
        self.problem = ""
        """Why the newest settings are not in force; empty when they are. For the process's report."""

    def current(self) -> Snapshot:
        return self._snapshot

    def refresh_if_changed(self) -> Snapshot | None:
        """The new snapshot when there is one, else None. Blocks: call it through offload.

        Settings that make no sense are reported once for each revision and leave the old snapshot in force. A
        database out of reach raises what Django raises: nothing is known of the settings then.
        """
        with self._lock:
            revision = self._revision()
            if revision in (self._snapshot.revision, self._refused_revision):
                return None
            try:
                self._snapshot = self._build()
            except SnapshotProblem as error:
                self._refused_revision = revision
                self.problem = str(error)
                logger.error("the changed settings are not used: %s", error)
                return None
            self._refused_revision, self.problem = None, ""
            return self._snapshot
