# SPDX-License-Identifier: MIT
r"""STORE and UID STORE.

RFC 9051 §6.4.6; RFC 7162 §3.1.3 (UNCHANGEDSINCE); RFC 4314 §4 (which right each flag needs). Every message named is
submitted, in units of bounded size: whether its flags really change is decided by what is stored when the unit is
written, for another process may have changed them since this one looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailserver.store.interface import Entry, FlagChange, Unit
from mailserver.store.rights import right_for
from mailserver.values import Flag, ModSeq, Uid
from protocols.imap import replies
from protocols.imap.arguments import FlagsChange
from protocols.imap.commands import Store
from protocols.imap.fetch_data import format_fetch, format_modseq_item, format_uid_item
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion
from protocols.imap.selected import Selected
from protocols.imap.sequence import NumberSet
from protocols.imap.session import Session
from protocols.imap.tidings import RECENT, format_flags_fetch

AT_ONCE = 5000
"""Messages in one unit: some tenths of a second on a slow disk."""


async def _store(session: Session, command: Store) -> Completion:
    selected = session.current
    if selected.read_only:
        return replies.read_only(command)
    if command.unchanged_since is not None:
        session.enable({"CONDSTORE"})
    uids = selected.resolve(command.messages, uid=command.uid, saved=session.saved_result)
    if uids is None:
        return replies.no_such_message(command)
    changeable = _changeable(selected, command.flags)
    if not changeable and command.flags:
        return replies.not_permitted(command)
    fixed = _fixed_flags(selected) if command.change is FlagsChange.REPLACE else frozenset()
    change = _Change(command.change, changeable, fixed)
    if change.depends_on_present:
        await selected.refresh()
    before = selected.index.entries(uids)
    protected = await _write(session, command, before, change)
    await _tell(session, command, before, change, protected)
    return _complete(session, command, uids, protected)


def _changeable(selected: Selected, flags: Iterable[str]) -> frozenset[str]:
    r"""Those of the flags that this user may change. \Recent is nobody's."""
    return frozenset(flag for flag in flags if flag != RECENT and selected.may(right_for(flag)))


def _fixed_flags(selected: Selected) -> frozenset[str]:
    r"""System flags that FLAGS, which replaces all, must leave as they are."""
    return frozenset(flag.value for flag in Flag if not selected.may(right_for(flag)))


class _Change:
    """What becomes of a message's flags."""

    def __init__(self, change: FlagsChange, flags: frozenset[str], fixed: frozenset[str]) -> None:
        self._change = change
        self._flags = flags
        self._fixed = fixed

    @property
    def depends_on_present(self) -> bool:
        """FLAGS, by somebody who must leave some as they are: they have to be known."""
        return bool(self._fixed)

    def outcome(self, flags: frozenset[str]) -> frozenset[str]:
        if self._change is FlagsChange.ADD:
            return flags | self._flags
        if self._change is FlagsChange.REMOVE:
            return flags - self._flags
        return self._flags | (flags & self._fixed)

    def parts(self, entries: Sequence[Entry]) -> Iterable[tuple[dict[str, frozenset[str]], tuple[Uid, ...]]]:
        """What to write for which messages: together where the same is to be done."""
        if self._change is FlagsChange.ADD:
            yield {"add": self._flags}, tuple(entry.uid for entry in entries)
        elif self._change is FlagsChange.REMOVE:
            yield {"remove": self._flags}, tuple(entry.uid for entry in entries)
        else:
            alike: dict[frozenset[str], list[Uid]] = {}
            for entry in entries:
                alike.setdefault(self.outcome(entry.flags), []).append(entry.uid)
            yield from (({"replace": flags}, tuple(uids)) for flags, uids in alike.items())


async def _write(session: Session, command: Store, entries: Sequence[Entry], change: _Change) -> set[int]:
    """Change what needs changing; the UIDs that UNCHANGEDSINCE protects."""
    since = command.unchanged_since
    protected: set[int] = set()
    for start in range(0, len(entries), AT_ONCE):
        piece = entries[start : start + AT_ONCE]
        protected |= await _write_piece(session, piece, change, since)
        await session.report_progress(command.tag, start + len(piece), len(entries))
    return protected


async def _write_piece(session: Session, entries: Sequence[Entry], change: _Change, since: int | None) -> set[int]:
    selected, mailbox = session.current, session.current.index.mailbox
    unchanged_since = None if since is None else ModSeq(since)
    changes = tuple(
        FlagChange(mailbox, uids, unchanged_since=unchanged_since, **flags) for flags, uids in change.parts(entries)
    )
    result = await session.submit(Unit(flag_changes=changes))
    protected = {int(uid) for uids in result.not_changed for uid in uids}
    present = selected.index.entries([entry.uid for entry in entries])
    if any(_is_old(entry, change, protected, since) for entry in present):
        await selected.refresh()
    return protected


def _is_old(entry: Entry, change: _Change, protected: set[int], since: int | None) -> bool:
    """Whether what is stored must be another than this: somebody else has changed it, and no notice has come yet."""
    if entry.uid in protected:
        return since is not None and entry.modseq <= since
    return change.outcome(entry.flags) != entry.flags


async def _tell(
    session: Session, command: Store, before: Sequence[Entry], change: _Change, protected: set[int]
) -> None:
    """The flags as they are now; with .SILENT only the mod-sequence, to those who keep it (RFC 7162 §3.1.3).

    With .SILENT, flags that somebody else has changed meanwhile come afterwards of their own accord.
    """
    selected, view = session.current, session.current.view
    manner = session.manner(with_uid=command.uid)
    await session.tell_keywords()
    for old in before:
        entry, number = selected.index.get(old.uid), view.number_of(old.uid)
        if entry is None or number is None or entry.uid in protected:
            continue
        if not command.silent:
            recent = view.is_recent(entry.uid)
            line = format_flags_fetch(number, entry.uid, entry.modseq, entry.flags, recent, manner)
            await session.send_untagged(line)
        elif view.owes(old.uid, old.modseq) or change.outcome(old.flags) != entry.flags:
            continue
        elif manner.modseq and entry.modseq > view.modseq:
            items = [format_modseq_item(entry.modseq)]
            if manner.uid and not manner.uid_only:
                items.insert(0, format_uid_item(entry.uid))
            shown = entry.uid if manner.uid_only else number
            await session.send_untagged(format_fetch(shown, items, uid_only=manner.uid_only))
        view.note_known(entry.uid, entry.modseq)


def _complete(session: Session, command: Store, uids: Sequence[int], protected: set[int]) -> Completion:
    view, index = session.current.view, session.current.index
    if protected:
        numbers = protected if command.uid else view.numbers_of(sorted(protected))
        return replies.completed(command, replies.modified_code(NumberSet.from_numbers(numbers)))
    if not command.uid and any(uid not in index for uid in uids):
        return replies.some_expunged(command)
    return replies.completed(command)


HANDLERS: Handlers = {Store: _store}
