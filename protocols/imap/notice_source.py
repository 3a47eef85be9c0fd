# SPDX-License-Identifier: MIT
"""Where a process hears that something may have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class NoticeSource(Protocol):
    """Tells when a topic may have changed; `protocols.net.notices.Notices` is one."""

    def subscribe(
        self, topic: str, on_change: Callable[[], None], known: Callable[[], int] = ...
    ) -> Callable[[], None]:
        """What is returned ends the subscription. Of versions up to `known()` it is not told."""
        ...
