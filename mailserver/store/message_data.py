# SPDX-License-Identifier: MIT
"""What is read out of messages once and then kept: envelopes, structures, first words, and the index of their text.

RFC 9051 §7.5.2 (ENVELOPE, BODYSTRUCTURE), RFC 8970 (PREVIEW), RFC 9051 §6.4.4 (SEARCH). Pure. Part of the store's
interface. Nothing of it is needed to file a message, so it is made when it is first asked for; contents never change,
so it stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailserver.mime.envelope import MessageEnvelope
from mailserver.mime.structure import Part
from mailserver.values import ContentId


@dataclass(frozen=True, slots=True)
class StoredStructure:
    """The message's parts; `structure.envelope` is `envelope`. Offsets count from the start of the stored message,
    whose trace lines are a part of it."""

    envelope: MessageEnvelope
    structure: Part


class MessageData(Protocol):
    """Contents that are gone are missing from every answer. All may read bodies the first time: call in a thread."""

    def read_envelopes(self, contents: Sequence[ContentId]) -> dict[ContentId, MessageEnvelope]:
        """Cheaper than `read_structures`: what lists, SORT and header searches need."""
        ...

    def read_structures(self, contents: Sequence[ContentId]) -> dict[ContentId, StoredStructure]: ...

    def read_previews(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        """The first words of each text, at most 200 characters; empty where there is none."""
        ...

    def narrow_text(self, contents: Sequence[ContentId], text: str) -> set[ContentId]:
        """Those that may contain the text in a header field or elsewhere: all that do, and often few others. Asks the
        index, and reads no message."""
        ...

    def search_text(self, contents: Sequence[ContentId], text: str, *, body_only: bool) -> set[ContentId]:
        """Those that contain the text, exactly: as a substring, without regard to case (i;unicode-casemap, RFC 5051),
        of the decoded texts of the message, and without `body_only` also of its header fields, decoded.

        Ask for all messages of a mailbox at once: the index is asked once, what it does not know yet is read and
        put into it.
        """
        ...
