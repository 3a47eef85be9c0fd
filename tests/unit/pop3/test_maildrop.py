# SPDX-License-Identifier: MIT
"""Numbers, sizes and unique ids of one session's maildrop."""

from __future__ import annotations

from mailserver.values import ContentId, Uid
from protocols.pop3.maildrop import Maildrop


def _maildrop() -> Maildrop:
    return Maildrop(77, [(Uid(5), 100, ContentId(9)), (Uid(8), 200, ContentId(9)), (Uid(2**40), 300, ContentId(2**40))])


def test_numbers_stay_when_messages_go() -> None:
    drop = _maildrop()
    drop.delete(2)
    drop.delete(2)
    assert (drop.count, drop.highest, drop.size, drop.deleted) == (2, 3, 400, [2])
    assert list(drop.numbers()) == [1, 3]
    assert drop.is_deleted(2)
    assert drop.exists(2)
    assert not drop.is_deleted(3)
    drop.restore()
    assert (drop.count, drop.size, drop.deleted) == (3, 600, [])


def test_what_exists() -> None:
    drop = _maildrop()
    assert [number for number in (-1, 0, 1, 3, 4, 2**70) if drop.exists(number)] == [1, 3]


def test_unique_ids_name_the_validity_and_fit() -> None:
    """RFC 1939 §7: 1 to 70 characters from 0x21 to 0x7E."""
    drop = _maildrop()
    assert [drop.unique_id(number) for number in (1, 2, 3)] == [b"77.5", b"77.8", b"77.1099511627776"]
    longest = Maildrop(2**63 - 1, [(Uid(2**63 - 1), 1, ContentId(1))]).unique_id(1)
    assert len(longest) <= 70
    assert (drop.uid(3), drop.content(3), drop.message_size(3)) == (2**40, 2**40, 300)
