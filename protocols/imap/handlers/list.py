# SPDX-License-Identifier: MIT
"""LIST and LSUB.

RFC 9051 §6.3.9, RFC 3501 §6.3.9 (LSUB), RFC 5258 (LIST-EXTENDED), RFC 5819 (LIST-STATUS), RFC 6154 (SPECIAL-USE),
RFC 8440 (LIST-MYRIGHTS), RFC 9590 (LIST-METADATA). Which names are shown is worked out in `folder_tree.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mailserver.config.catalog import FAKE_PARENTS
from mailserver.store.folders import Folder, ShownFolders
from mailserver.store.interface import MailStore
from mailserver.store.picture import FolderPicture
from mailserver.values import MailboxId
from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.arguments import ListReturn, ListSelection
from protocols.imap.folder_tree import Branch, Match, describe_match, find_matches, find_subscribed, grow_tree
from protocols.imap.handlers.acl import format_rights
from protocols.imap.handlers.handler import Handlers
from protocols.imap.handlers.metadata import select_entries
from protocols.imap.handlers.status import append_limit, blocks, read_figures
from protocols.imap.replies import Completion
from protocols.imap.session import Session
from protocols.imap.untagged import ListedMailbox

MAX_PATTERNS = 100
"""In one LIST. Mail programs give one or two, and each is tried on every folder."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """How this session wants to be told."""

    utf8: bool
    no_folder: str
    fake_parents: bool
    append_limit: int | None


async def list_mailboxes(session: Session, command: c.List) -> Completion:
    if not command.extended and command.patterns == ("",):
        await session.send_untagged(untagged.list_delimiter())
        return replies.completed(command)
    if len(command.patterns) > MAX_PATTERNS:
        return replies.too_many_patterns(command)
    folders, picture = await session.look_at_folders()
    manner = _manner(session, extended=command.extended)
    source = (session.connection.store, picture, folders, command, manner)
    asks = command.returns.metadata or blocks(command.returns.status)
    data, long_entry = await session.offload(_answer_list, *source) if asks else _answer_list(*source)
    await session.send_untagged(data)
    return replies.completed(command, replies.metadata_long_entries_code(long_entry) if long_entry else b"")


async def list_subscribed(session: Session, command: c.Lsub) -> Completion:
    folders, picture = await session.look_at_folders()
    await session.send_untagged(_answer_lsub(picture, folders, command, session.utf8))
    return replies.completed(command)


def _manner(session: Session, *, extended: bool) -> _Manner:
    r"""`\Noselect` is what IMAP4rev1 clients know; `\NonExistent` says more (RFC 5258 §3)."""
    knows_more = extended or session.has_enabled("IMAP4REV2")
    return _Manner(
        utf8=session.utf8,
        no_folder="\\NonExistent" if knows_more else "\\Noselect",
        fake_parents=session.connection.service.get(FAKE_PARENTS),
        append_limit=append_limit(session),
    )


def _answer_list(
    store: MailStore, picture: FolderPicture, folders: ShownFolders, command: c.List, manner: _Manner
) -> tuple[bytes, int]:
    """All lines, and the size of the largest annotation that was left out. Blocks if annotations are asked for."""
    tree = grow_tree(folders.list_all(), picture.list_subscriptions(picture.user))
    patterns = [_join(command.reference, pattern) for pattern in command.patterns]
    matches = find_matches(tree, patterns, command.selection)
    shown = _asked_for(command)
    further = _Further(store, picture, command.returns, [match.branch.folder for match in matches], manner)
    lines: list[bytes] = []
    for match in matches:
        described = describe_match(match, show=shown, no_folder=manner.no_folder, fake_parents=manner.fake_parents)
        lines.append(untagged.listed(described, utf8=manner.utf8))
        lines += further.lines(match)
    return b"".join(lines), further.long_entry


def _asked_for(command: c.List) -> ListReturn:
    """What one selects by is returned (RFC 5258 §3.1, RFC 6154 §2); the plain form says all it knows of a use."""
    return replace(
        command.returns,
        subscribed=command.returns.subscribed or ListSelection.SUBSCRIBED in command.selection,
        special_use=(
            command.returns.special_use or ListSelection.SPECIAL_USE in command.selection or not command.extended
        ),
    )


def _join(reference: str, pattern: str) -> str:
    """RFC 9051 §6.3.9: a pattern that begins with a namespace's # stands for itself."""
    return pattern if pattern.startswith("#") else reference + pattern


class _Further:
    """What is returned beside LIST for each folder, read for all of them at once."""

    def __init__(
        self,
        store: MailStore,
        picture: FolderPicture,
        asked: ListReturn,
        folders: Sequence[Folder | None],
        manner: _Manner,
    ) -> None:
        self.long_entry = 0
        self._asked = asked
        self._manner = manner
        readable = [folder.mailbox for folder in folders if folder is not None and "r" in folder.rights]
        limit = manner.append_limit
        self._figures = read_figures(store, picture, readable, asked.status, limit) if asked.status else {}
        ids: list[MailboxId | None] = [mailbox.id for mailbox in readable]
        self._annotations = store.read_annotations(picture.user, ids) if asked.metadata else {}

    def lines(self, match: Match) -> Iterator[bytes]:
        folder, utf8 = match.branch.folder, self._manner.utf8
        if folder is None:
            return
        if self._asked.my_rights:
            yield untagged.my_rights(folder.shown_name, format_rights(folder.rights), utf8=utf8)
        if (figures := self._figures.get(folder.mailbox.id)) is not None:
            yield untagged.status(folder.shown_name, figures, utf8=utf8)
        if (values := self._annotations.get(folder.mailbox.id)) is not None:
            entries, long_entry = select_entries(values, self._asked.metadata, self._asked.metadata_options)
            self.long_entry = max(self.long_entry, long_entry)
            if entries:
                yield untagged.metadata(folder.shown_name, entries, utf8=utf8)


def _answer_lsub(picture: FolderPicture, folders: ShownFolders, command: c.Lsub, utf8: bool) -> bytes:
    tree = grow_tree(folders.list_all(), picture.list_subscriptions(picture.user))
    matches = find_subscribed(tree, _join(command.reference, command.pattern))
    return b"".join(
        untagged.listed(_describe_subscribed(match.branch), utf8=utf8, subscribed=True) for match in matches
    )


def _describe_subscribed(branch: Branch) -> ListedMailbox:
    return ListedMailbox(branch.name, () if branch.subscribed else ("\\Noselect",))


HANDLERS: Handlers = {c.List: list_mailboxes, c.Lsub: list_subscribed}
