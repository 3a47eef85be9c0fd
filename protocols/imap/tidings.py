# SPDX-License-Identifier: MIT
"""Updates of the view as the client gets them: EXISTS, EXPUNGE or VANISHED, and FETCH of flags. Pure.

RFC 9051 §7.4, §7.5.2; RFC 7162 §3.2.10; RFC 9586 §3.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailserver.values import Flag
from protocols.imap import untagged
from protocols.imap.fetch_data import format_fetch, format_flags_item, format_modseq_item, format_uid_item
from protocols.imap.replies import FLAGS_FIXED, FLAGS_STAY, permanent_flags_code, untagged_ok
from protocols.imap.view import Exists, Expunged, FlagsChanged, Update, Vanished

RECENT = "\\Recent"
SYSTEM_FLAGS: tuple[str, ...] = tuple(flag.value for flag in Flag)


@dataclass(frozen=True, slots=True)
class Manner:
    """How this client wants it."""

    uid: bool = False
    """UIDs go along with flags."""
    modseq: bool = False
    recent: bool = True
    r"""\Recent and RECENT are sent (IMAP4rev1)."""
    uid_only: bool = False


def format_updates(updates: Iterable[Update], manner: Manner) -> bytes:
    """In the order given, as many lines as it takes."""
    return b"".join(_format_update(update, manner) for update in updates)


def _format_update(update: Update, manner: Manner) -> bytes:
    match update:
        case Exists(count, recent):
            return untagged.exists(count) + (untagged.recent(recent) if manner.recent else b"")
        case Expunged(numbers):
            return b"".join(map(untagged.expunge, numbers))
        case Vanished(uids):
            return untagged.vanished(uids)
        case FlagsChanged(number, uid, modseq, flags, recent):
            return format_flags_fetch(number, uid, modseq, flags, recent, manner)


def format_flags_fetch(
    number: int, uid: int, modseq: int, flags: frozenset[str], recent: bool, manner: Manner
) -> bytes:
    r"""A FETCH of the flags alone; `recent` says that \Recent is one of them."""
    items = [format_flags_item(flags | {RECENT} if recent and manner.recent else flags)]
    if manner.uid and not manner.uid_only:
        items.insert(0, format_uid_item(uid))
    if manner.modseq:
        items.append(format_modseq_item(modseq))
    return format_fetch(uid if manner.uid_only else number, items, uid_only=manner.uid_only)


@dataclass(frozen=True, slots=True)
class PermanentFlags:
    """What this user can change for good, and whether keywords can be made up (RFC 9051 §7.1)."""

    flags: tuple[str, ...] = ()
    keywords: bool = False


def format_flag_lists(keywords: Iterable[str], permanent: PermanentFlags) -> bytes:
    """FLAGS and PERMANENTFLAGS: after SELECT, and whenever a message has a keyword that was not listed."""
    listed = sorted(keywords)
    changeable = (*permanent.flags, *listed) if permanent.keywords else permanent.flags
    return untagged.flags((*SYSTEM_FLAGS, *listed)) + untagged_ok(
        FLAGS_STAY if changeable else FLAGS_FIXED,
        permanent_flags_code(changeable, new_keywords=permanent.keywords),
    )
