# SPDX-License-Identifier: MIT
"""Which part of what was found a client wants: in its answer, in `$`, and in MODSEQ. Pure.

RFC 9051 §6.4.4 and RFC 4731 §3.1 (MIN, MAX, ALL, COUNT), RFC 5182 §2.1 (SAVE), RFC 7162 §3.1.10 (MODSEQ), RFC 5267
§3.1 (the same for SORT, where the first and the last are meant in the order asked for), RFC 9394 §3.1 (PARTIAL).
"""

from __future__ import annotations

from collections.abc import Sequence

from mailserver.store.interface import Entry
from protocols.imap.search_keys import ReturnOption, SearchReturn
from protocols.imap.sequence import NumberSet
from protocols.imap.untagged import SearchResult

_WHOLE = frozenset({ReturnOption.ALL, ReturnOption.COUNT})
_DATA = _WHOLE | {ReturnOption.MIN, ReturnOption.MAX}

EVERYTHING = SearchReturn(frozenset({ReturnOption.ALL}))
"""What an empty list of return options stands for (RFC 9051 §6.4.4)."""


def effective(returns: SearchReturn) -> SearchReturn:
    return returns if returns.options or returns.partial else EVERYTHING


def asks_for_data(returns: SearchReturn) -> bool:
    """False for RETURN (SAVE) alone, which is answered by the tagged OK only (RFC 5182 §2.1)."""
    return returns.options != {ReturnOption.SAVE} or returns.partial is not None


def chosen(returns: SearchReturn, found: Sequence[Entry]) -> Sequence[Entry]:
    """The messages that SAVE keeps and MODSEQ speaks of: only the first, the last or a part, if only they are asked
    for (RFC 5182 §2.1, RFC 7162 §3.1.10)."""
    if returns.options & _WHOLE or not (returns.options & _DATA or returns.partial):
        return found
    some: list[Entry] = []
    if ReturnOption.MIN in returns.options:
        some += found[:1]
    if ReturnOption.MAX in returns.options:
        some += found[-1:]
    if returns.partial is not None:
        some += returns.partial.pick(found)
    return some


def highest_modseq(entries: Sequence[Entry]) -> int | None:
    """None where there are no messages."""
    return max((entry.modseq for entry in entries), default=None)


def make_result(
    returns: SearchReturn, found: Sequence[Entry], numbers: Sequence[int], *, in_order: bool, with_modseq: bool
) -> SearchResult:
    """`numbers` are the messages found, as the answer names them. `in_order` for SORT: ALL and PARTIAL keep it."""

    def shown(some: Sequence[int]) -> Sequence[int] | NumberSet:
        return some if in_order else NumberSet.from_numbers(some)

    options = returns.options
    part = returns.partial
    return SearchResult(
        minimum=numbers[0] if ReturnOption.MIN in options and numbers else None,
        maximum=numbers[-1] if ReturnOption.MAX in options and numbers else None,
        all=shown(numbers) if ReturnOption.ALL in options else None,
        count=len(numbers) if ReturnOption.COUNT in options else None,
        partial=(part, shown(part.pick(numbers))) if part is not None else None,
        modseq=highest_modseq(chosen(returns, found)) if with_modseq else None,
    )
