# SPDX-License-Identifier: MIT
"""Data responses: everything that begins with `*` and is neither a status nor FETCH.

RFC 9051 §7.2 to §7.5, RFC 3501 §7.2, and the extensions that each function names. Each gives whole lines. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailserver.mime.threads import ThreadNode
from protocols.imap.arguments import StatusItem
from protocols.imap.sequence import NumberSet, PartialRange, format_number_set
from protocols.imap.wire import (
    CRLF,
    NIL,
    format_astring,
    format_flags,
    format_list,
    format_mailbox,
    format_string,
    format_text,
)

DELIMITER = b'"/"'


def capability(capabilities: Iterable[str]) -> bytes:
    return " ".join(("* CAPABILITY", *capabilities)).encode("ascii") + CRLF


def enabled(capabilities: Iterable[str]) -> bytes:
    """RFC 5161 §3.2: what this command has switched on, perhaps nothing."""
    return " ".join(("* ENABLED", *capabilities)).encode("ascii") + CRLF


def identification(parameters: Mapping[str, str | None] | None) -> bytes:
    """RFC 2971 §3.2."""
    if not parameters:
        return b"* ID NIL\r\n"
    words = (word for name, value in parameters.items() for word in (format_text(name), format_text(value)))
    return b"* ID " + format_list(words) + CRLF


# ---------------------------------------------------------------- the selected mailbox


def exists(count: int) -> bytes:
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    """RFC 3501 §7.3.2; IMAP4rev2 has none."""
    return b"* %d RECENT\r\n" % count


def expunge(number: int) -> bytes:
    return b"* %d EXPUNGE\r\n" % number


def vanished(uids: NumberSet, *, earlier: bool = False) -> bytes:
    """RFC 7162 §3.2.10; nothing at all for no UIDs."""
    return b"* VANISHED %s%s\r\n" % (b"(EARLIER) " if earlier else b"", format_number_set(uids)) if uids else b""


def flags(names: Iterable[str]) -> bytes:
    return b"* FLAGS " + format_flags(names) + CRLF


# ---------------------------------------------------------------- mailboxes


@dataclass(frozen=True, slots=True)
class ListedMailbox:
    r"""One LIST answer. `attributes` as `\HasNoChildren`; `child_info` names the criteria that a child meets
    (RFC 5258 §3.5); `old_name` is what it was called (RFC 9051 §6.3.9.7)."""

    name: str
    attributes: tuple[str, ...] = ()
    child_info: tuple[str, ...] = ()
    old_name: str | None = None
    extended: bytes = b""
    """Further data that a script has added, with the space in front (spec services 2.3)."""


def listed(mailbox: ListedMailbox, *, utf8: bool, subscribed: bool = False) -> bytes:
    """LIST, or LSUB with `subscribed` (RFC 3501 §7.2.3)."""
    line = b"* %s %s %s %s" % (
        b"LSUB" if subscribed else b"LIST",
        format_list(attribute.encode("ascii") for attribute in mailbox.attributes),
        DELIMITER,
        format_mailbox(mailbox.name, utf8=utf8),
    )
    items: list[bytes] = []
    if mailbox.child_info:
        items += (b'"CHILDINFO"', format_list(b'"%s"' % word.encode("ascii") for word in mailbox.child_info))
    if mailbox.old_name is not None:
        items += (b'"OLDNAME"', format_list((format_mailbox(mailbox.old_name, utf8=utf8),)))
    return line + (b" " + format_list(items) if items else b"") + mailbox.extended + CRLF


def list_delimiter() -> bytes:
    """The answer to an empty pattern (RFC 9051 §6.3.9)."""
    return b'* LIST (\\Noselect) "/" ""\r\n'


@dataclass(frozen=True, slots=True)
class NamespaceEntry:
    """A prefix, such as `#users/`."""

    prefix: str


def namespace(
    personal: Sequence[NamespaceEntry], other: Sequence[NamespaceEntry], shared: Sequence[NamespaceEntry], *, utf8: bool
) -> bytes:
    """RFC 9051 §7.3.4 (RFC 2342)."""
    groups = (_namespace_group(group, utf8) for group in (personal, other, shared))
    return b"* NAMESPACE " + b" ".join(groups) + CRLF


def _namespace_group(entries: Sequence[NamespaceEntry], utf8: bool) -> bytes:
    if not entries:
        return NIL
    pairs = (format_list((format_mailbox(entry.prefix, utf8=utf8), DELIMITER)) for entry in entries)
    return b"(" + b"".join(pairs) + b")"


def status(name: str, values: Mapping[StatusItem, int | str | None], *, utf8: bool) -> bytes:
    """RFC 9051 §7.3.5; a MAILBOXID is text, an APPENDLIMIT may be None for NIL (RFC 7889 §3.2)."""
    words = (item.value.encode("ascii") + b" " + _status_value(value) for item, value in values.items())
    return b"* STATUS %s %s\r\n" % (format_mailbox(name, utf8=utf8), format_list(words))


def _status_value(value: int | str | None) -> bytes:
    if value is None:
        return NIL
    return b"%d" % value if isinstance(value, int) else b"(%s)" % value.encode("ascii")


# ---------------------------------------------------------------- search, sort, thread


def search(numbers: Iterable[int], modseq: int | None = None) -> bytes:
    """RFC 3501 §7.2.5, with the mod-sequence of RFC 7162 §3.1.5 when something was found."""
    return _numbers(b"SEARCH", numbers, modseq)


def sort(numbers: Iterable[int], modseq: int | None = None) -> bytes:
    """RFC 5256 §4, RFC 7162 §3.1.6."""
    return _numbers(b"SORT", numbers, modseq)


def _numbers(name: bytes, numbers: Iterable[int], modseq: int | None) -> bytes:
    words = b" ".join([b"* " + name, *(b"%d" % number for number in numbers)])
    return words + (b" (MODSEQ %d)" % modseq if modseq is not None else b"") + CRLF


@dataclass(frozen=True, slots=True)
class SearchResult:
    """ESEARCH's return data; what is None is not sent (RFC 9051 §7.3.4, RFC 4731 §3.1).

    `all` and the part in `partial` are ranges for SEARCH and sequences in order for SORT. Where nothing was found
    MIN, MAX and ALL must be left out; COUNT is 0 (RFC 4731 §3.1).
    """

    minimum: int | None = None
    maximum: int | None = None
    all: Sequence[int] | NumberSet | None = None
    count: int | None = None
    partial: tuple[PartialRange, Sequence[int] | NumberSet] | None = None
    modseq: int | None = None


def extended_search(tag: str, result: SearchResult, *, uid: bool) -> bytes:
    """RFC 9051 §7.3.4 ESEARCH."""
    words = [_correlator(tag)]
    if uid:
        words.append(b"UID")
    if result.minimum is not None:
        words.append(b"MIN %d" % result.minimum)
    if result.maximum is not None:
        words.append(b"MAX %d" % result.maximum)
    if result.count is not None:
        words.append(b"COUNT %d" % result.count)
    if result.all:
        words.append(b"ALL " + format_results(result.all))
    if result.partial is not None:
        span, found = result.partial
        words.append(b"PARTIAL (%d:%d %s)" % (span.first, span.last, format_results(found) if found else NIL))
    if result.modseq is not None:
        words.append(b"MODSEQ %d" % result.modseq)
    return b" ".join(words) + CRLF


def _correlator(tag: str) -> bytes:
    return b"* ESEARCH (TAG %s)" % format_string(tag.encode("ascii"))


def format_results(numbers: Sequence[int] | NumberSet) -> bytes:
    """Sorted numbers as a set; others in their order, neighbours as ranges (RFC 5267 §3)."""
    if isinstance(numbers, NumberSet):
        return format_number_set(numbers)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return b",".join(b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in runs)


Places = Sequence[tuple[int, Sequence[int] | NumberSet]]
"""Places in a result, from 1, each with what is taken out or put in there; 0 for "wherever they belong"."""


def search_update(tag: str, *, uid: bool, removed: Places = (), added: Places = ()) -> bytes:
    """RFC 5267 §4.3: what has gone from or come into the result of a search that is kept up to date.

    The client carries the pairs out in their order. For SORT each names its place; for SEARCH the place is 0.
    """
    words = [_correlator(tag)]
    if uid:
        words.append(b"UID")
    words += _places(b"REMOVEFROM", removed) + _places(b"ADDTO", added)
    return b" ".join(words) + CRLF


def _places(name: bytes, places: Places) -> list[bytes]:
    pairs = b" ".join(b"%d %s" % (place, format_results(numbers)) for place, numbers in places)
    return [name + b" (" + pairs + b")"] if pairs else []


def thread(threads: Iterable[ThreadNode]) -> bytes:
    """RFC 5256 §4. Written without recursion: a conversation may be thousands of replies deep."""
    words = b"".join(_thread_list(root) for root in threads)
    return b"* THREAD" + (b" " + words if words else b"") + CRLF


def _thread_list(root: ThreadNode) -> bytes:
    """`(3 6 (4 23)(44 7 96))`: only children go on in the same list, siblings open lists of their own."""
    pieces: list[bytes] = []
    stack: list[ThreadNode | bytes] = [b")", root, b"("]
    while stack:
        entry = stack.pop()
        if isinstance(entry, bytes):
            pieces.append(entry)
            continue
        if entry.message:
            pieces.append(b"%d" % entry.message.number)
        if len(entry.children) == 1 and entry.message:
            stack += (entry.children[0], b" ")
        elif entry.children:
            for child in reversed(entry.children):
                stack += (b")", child, b"(")
            if entry.message:
                stack.append(b" ")
    return b"".join(pieces)


# ---------------------------------------------------------------- quota, rights, metadata


def quota(root: str, resources: Sequence[tuple[str, int, int]], *, utf8: bool = False) -> bytes:
    """RFC 9208 §4.2.1: name, usage, limit of each resource."""
    words = (b"%s %d %d" % (name.encode("ascii"), usage, limit) for name, usage, limit in resources)
    return b"* QUOTA %s %s\r\n" % (format_text(root, utf8=utf8), format_list(words))


def quota_root(mailbox: str, roots: Iterable[str], *, utf8: bool) -> bytes:
    """RFC 9208 §4.2.2."""
    words = [format_mailbox(mailbox, utf8=utf8), *(format_text(root, utf8=utf8) for root in roots)]
    return b"* QUOTAROOT " + b" ".join(words) + CRLF


def acl(mailbox: str, entries: Iterable[tuple[str, str]], *, utf8: bool) -> bytes:
    """RFC 4314 §3.6: identifiers and their rights."""
    words = [format_mailbox(mailbox, utf8=utf8)]
    for identifier, rights in entries:
        words += (format_astring(identifier, utf8=utf8), format_text(rights))
    return b"* ACL " + b" ".join(words) + CRLF


def list_rights(mailbox: str, identifier: str, required: str, optional: Iterable[str], *, utf8: bool) -> bytes:
    """RFC 4314 §3.7."""
    words = [format_mailbox(mailbox, utf8=utf8), format_astring(identifier, utf8=utf8), format_text(required)]
    words += (format_text(group) for group in optional)
    return b"* LISTRIGHTS " + b" ".join(words) + CRLF


def my_rights(mailbox: str, rights: str, *, utf8: bool) -> bytes:
    """RFC 4314 §3.8."""
    return b"* MYRIGHTS %s %s\r\n" % (format_mailbox(mailbox, utf8=utf8), format_text(rights))


def metadata(mailbox: str, entries: Iterable[tuple[str, bytes | None]], *, utf8: bool) -> bytes:
    """RFC 5464 §4.4.1: entries with their values."""
    words = (word for name, value in entries for word in (format_astring(name), _metadata_value(value)))
    return b"* METADATA %s %s\r\n" % (format_mailbox(mailbox, utf8=utf8), format_list(words))


def _metadata_value(value: bytes | None) -> bytes:
    if value is not None and b"\x00" in value:
        return b"~{%d}\r\n%s" % (len(value), value)
    return format_string(value)


def metadata_changed(mailbox: str, entries: Iterable[str], *, utf8: bool) -> bytes:
    """RFC 5464 §4.4.2: which entries have changed, without their values."""
    words = [format_mailbox(mailbox, utf8=utf8), *(format_astring(name) for name in entries)]
    return b"* METADATA " + b" ".join(words) + CRLF
