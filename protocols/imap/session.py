# SPDX-License-Identifier: MIT
"""One IMAP4 client, from the greeting to the end: what it is, what it has enabled, and what it is told.

RFC 9051 §3, §5.2, §7. The commands themselves are in `handlers/`, one file for each family; this is what they share.
Knows neither sockets nor syntax.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mailserver.config.snapshot import Snapshot
from mailserver.store.values import Mailbox
from mailserver.users.authentication import LoggedInUser
from mailserver.values import UserId
from protocols.imap.mailbox_index import NoticeSource
from protocols.imap.machine import Machine
from protocols.imap.selected import Selected
from protocols.imap.sequence import NumberSet
from protocols.net.connection import Connection


@dataclass(frozen=True, slots=True)
class OpenedMailbox:
    """A mailbox that this user may use as asked. `name` is what the user calls it, `#users/karen/Sent` perhaps."""

    mailbox: Mailbox
    owner: UserId
    rights: str
    name: str


class Session:
    """Handed to every handler. One command runs at a time."""

    connection: Connection
    machine: Machine
    user: LoggedInUser | None
    """None before login; handlers of commands that need a login use `owner`."""
    client_id: dict[str, str]
    """What the client said of itself by ID (RFC 2971), keys in lower case."""
    enabled: set[str]
    """IMAP4REV2, CONDSTORE, QRESYNC, UTF8=ACCEPT, UIDONLY ... in capitals (RFC 5161)."""
    selected: Selected | None
    saved_result: NumberSet
    """`$`, as UIDs (RFC 5182 §2.1); empty after each SELECT."""
    notices: NoticeSource
    """`subscribe(topic, on_change)`; call `wake()` from `on_change` when the client should hear of it."""
    news: list[Callable[[], Awaitable[None]]]
    """Asked at the end of each command and, while the client listens, whenever `wake()` was called: each writes what it
    has by `send_untagged()`. For NOTIFY (RFC 5465)."""
    pushing: bool
    """NOTIFY is on: the client wants updates between commands too, without IDLE."""

    @property
    def owner(self) -> LoggedInUser:
        """The logged-in user."""

    @property
    def utf8(self) -> bool:
        """Mailbox names and headers may go out in UTF-8 (RFC 6855 §3, RFC 9051 §5.1)."""

    def has_enabled(self, capability: str) -> bool: ...

    def snapshot(self) -> Snapshot:
        """The present settings; ask once per command."""

    async def send_untagged(self, data: bytes) -> None:
        """Write a whole line, or a piece of one; gathered, and written in large pieces."""

    async def send_updates(self, *, may_expunge: bool) -> None:
        """Tell the client what has happened in the selected mailbox (RFC 9051 §5.2)."""

    async def open_mailbox(self, name: str, needed_rights: str = "") -> OpenedMailbox:
        """Raises NOT_FOUND (also for a mailbox that the user may not even look up), FORBIDDEN."""

    def wake(self) -> None:
        """Something has happened that the client wants to hear of, if it is listening."""
