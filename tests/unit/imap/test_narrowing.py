# SPDX-License-Identifier: MIT
"""Searching very many messages: the text index is asked first, about all of them, and the answers stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from mailserver.mime.casemap import casemap
from mailserver.store.memory import MemoryStore
from mailserver.store.reading import make_text
from mailserver.values import ContentId
from protocols.imap import searching
from protocols.imap.matching import Circumstances, Matcher
from protocols.imap.search_keys import And, HasBody, HasFlag, HasHeader, HasText, Not, Or, SearchKey
from protocols.imap.sequence import NumberSet
from tests.support.dialogue import FOLDER, play
from tests.unit.imap.serving import Server, actions, imap_world


@pytest.mark.parametrize("name", ["search", "search_extended", "search_context", "sort", "thread", "object_ids"])
async def test_narrowed_searches_answer_as_others_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The dialogues, with an index that leaves out everything it can, and mailboxes that count as large."""
    asked: list[int] = []

    def narrow(store: MemoryStore, contents: Sequence[ContentId], text: str) -> set[ContentId]:
        asked.append(len(contents))
        texts = {content.id: make_text(content) for content in store.read_contents(contents)}
        return {id_ for id_, found in texts.items() if casemap(text) in casemap(f"{found.header}\n{found.body}")}

    server = Server()
    monkeypatch.setattr(MemoryStore, "narrow_text", narrow)
    monkeypatch.setattr(searching, "SLICE", 1)
    await play(FOLDER / "imap" / f"{name}.txt", "whole", imap_world, server.serve, actions(server))
    if name.startswith("search"):
        assert max(asked) > 1


@pytest.mark.parametrize(
    ("key", "needle"),
    [
        (HasText("quick"), "quick"),
        (HasBody("quick"), "quick"),
        (HasHeader("subject", "report"), "report"),
        (HasHeader("List-Id", ""), "List-Id"),
        (HasText(""), None),
        (And((HasFlag("\\Seen"), HasText("ab"), HasBody("longer"))), "longer"),
        (And((HasFlag("\\Seen"),)), None),
        (Or((HasText("one"), HasText("two"))), None),
        (Not(HasText("one")), None),
        (And((Not(HasText("one")), HasText("two"))), "two"),
    ],
)
def test_what_every_match_must_contain(key: SearchKey, needle: str | None) -> None:
    circumstances = Circumstances(
        datetime(2026, 3, 10, tzinfo=UTC), lambda _: False, lambda numbers, by_uid: NumberSet()
    )
    assert Matcher(key, circumstances).needle == needle
