# SPDX-License-Identifier: MIT
"""One session's picture of the maildrop: numbers, sizes, unique ids, and what is marked as deleted.

RFC 1939 §5 (numbers never change in a session), §7 (UIDL). Pure.

The unique id is `<UIDVALIDITY>.<UID>` of the message in the Inbox: a UID alone is unique only as long as its
UIDVALIDITY holds (RFC 9051 §2.3.1.1), and after a restore would name another message, which a program that leaves
mail on the server would then never fetch. Numbers are kept in arrays: 100,000 messages take 2.4 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from mailserver.values import ContentId, Uid


class Maildrop:
    """Messages are numbered from 1; deleted ones keep their numbers and cannot be found."""

    def __init__(self, uid_validity: int, messages: Iterable[tuple[Uid, int, ContentId]]) -> None:
        """`messages` in UID order: UID, size, content."""
        self._uid_validity = uid_validity
        self._uids = array("q")
        self._sizes = array("q")
        self._contents = array("q")
        for uid, size, content in messages:
            self._uids.append(uid)
            self._sizes.append(size)
            self._contents.append(content)
        self._deleted: set[int] = set()
        self._deleted_size = 0
        self._size = sum(self._sizes)

    @property
    def highest(self) -> int:
        """The highest number, deleted or not."""
        return len(self._uids)

    @property
    def count(self) -> int:
        return len(self._uids) - len(self._deleted)

    @property
    def size(self) -> int:
        return self._size - self._deleted_size

    @property
    def deleted(self) -> list[int]:
        return sorted(self._deleted)

    def exists(self, number: int) -> bool:
        """Whether there is such a number, deleted or not."""
        return 1 <= number <= len(self._uids)

    def is_deleted(self, number: int) -> bool:
        return number in self._deleted

    def message_size(self, number: int) -> int:
        return self._sizes[number - 1]

    def uid(self, number: int) -> Uid:
        return Uid(self._uids[number - 1])

    def content(self, number: int) -> ContentId:
        return ContentId(self._contents[number - 1])

    def unique_id(self, number: int) -> bytes:
        """RFC 1939 §7: 1 to 70 characters, the same in every session, never used again."""
        return b"%d.%d" % (self._uid_validity, self._uids[number - 1])

    def numbers(self) -> Iterator[int]:
        """Those not deleted."""
        return (number for number in range(1, self.highest + 1) if number not in self._deleted)

    def delete(self, number: int) -> None:
        if number not in self._deleted:
            self._deleted.add(number)
            self._deleted_size += self._sizes[number - 1]

    def restore(self) -> None:
        """RFC 1939 §5, RSET."""
        self._deleted.clear()
        self._deleted_size = 0
