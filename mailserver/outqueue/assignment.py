# SPDX-License-Identifier: MIT
"""Which Sender takes what: the first, in their order, whose domain filtering attempts it. Pure.

Recipient by recipient, so that a message to two places may leave by two Senders (spec senders 7.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from mailserver.outqueue.domain_filter import DomainFilter, Facts, read_filter


class Assignment:
    """The Senders in the order in which they are asked: each one's number, and its text of domain filtering."""

    def __init__(self, senders: Sequence[tuple[int, str]]) -> None:
        self._filters: list[tuple[int, DomainFilter]] = []
        for sender, text in senders:
            self._filters.append((sender, read_filter(text)))
            if self._filters[-1][1].takes_everything:
                break  # Nobody behind it is ever asked.

    def sender_of(self, facts: Facts) -> int | None:
        """Who takes this recipient; None: nobody, it waits."""
        return next((sender for sender, filter_ in self._filters if filter_.attempts(facts)), None)

    @property
    def asked(self) -> tuple[int, ...]:
        """Those who may get something."""
        return tuple(sender for sender, _ in self._filters)

    @property
    def takes_everything(self) -> bool:
        """There is nothing that nobody takes."""
        return any(filter_.takes_everything for _, filter_ in self._filters)

    def gets_nothing(self, sender: int) -> bool:
        """Somebody before it takes everything, or it is not there."""
        return all(sender != asked for asked, _ in self._filters)

    def gets_everything(self, sender: int) -> bool:
        """It is asked first, and takes everything."""
        return bool(self._filters) and self._filters[0][0] == sender and self._filters[0][1].takes_everything
