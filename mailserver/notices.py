# SPDX-License-Identifier: MIT
"""'Topic T has changed', told to every process of the installation after the commit.

A notice is a hint: whoever needs the truth looks in the database, and polls slowly in case a notice is lost.
Embedded, each listening process has a datagram socket in the data folder and a publisher writes to all of them;
on PostgreSQL it is NOTIFY. The listening half for daemons is `protocols.net.notices`.
"""

from __future__ import annotations

from collections.abc import Iterable

SETTINGS = "settings"
WORK = "work"
QUEUE = "queue"


def mailbox_topic(mailbox: int) -> str:
    """Entries of this mailbox were added, changed or removed."""
    return f"mailbox:{mailbox}"


def process_topic(process: int) -> str:
    """A command waits for this process."""
    return f"process:{process}"


def publish(topics: Iterable[str]) -> None:
    """Tell everybody now. Call it after the commit (`transaction.on_commit`); never raises."""
    raise NotImplementedError
