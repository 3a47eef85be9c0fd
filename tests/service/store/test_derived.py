# SPDX-License-Identifier: MIT
"""What is made of messages is made once: kept in their rows, indexed in the background, forgotten with them."""

from __future__ import annotations

import itertools
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailserver import clock
from mailserver.store import indexing, reading
from mailserver.store.housekeeping import GRACE, collect_orphans
from mailserver.store.indexing import SETTLED, TextIndexer
from mailserver.store.interface import Removal, Unit
from mailserver.store.models import Content
from mailserver.store.opening import open_store
from mailserver.store.textindex import Candidates, IndexedText, pieces
from mailserver.store.textindex_opening import open_text_index
from mailserver.store.textindex_sqlite import SqliteTextIndex
from mailserver.store.textsearch import TextSearch
from mailserver.values import ContentId, MailboxId, Uid
from tests.support.filings import WAIT_SECONDS, make_filing
from tests.support.still_clock import StillClock
from tests.support.stores import make_user

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("transactional_db", "data_folder"),
]
MESSAGE = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nthe quick brown fox\r\n"


@pytest.fixture
def inbox() -> MailboxId:
    with closing(open_store()) as store:
        return store.get_mailbox(make_user(), "INBOX").id


def file(inbox: MailboxId, *messages: bytes) -> list[ContentId]:
    with closing(open_store()) as store:
        filings = tuple(make_filing(inbox, data=data) for data in messages)
        return list(store.submit(Unit(filings=filings)).result(WAIT_SECONDS).contents)


@pytest.fixture
def never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, reading a message is a mistake."""

    def refuse(*_: object) -> None:
        raise AssertionError("a message was read again")

    monkeypatch.setattr(reading, "open_message", refuse)


def test_what_was_made_is_kept_for_every_process(inbox: MailboxId, request: pytest.FixtureRequest) -> None:
    contents = file(inbox, *[MESSAGE] * 150)
    assert Content.objects.filter(envelope__isnull=True).count() == 150
    with closing(open_store()) as store:
        made = (store.read_structures(contents), store.read_envelopes(contents), store.read_previews(contents))
    assert Content.objects.filter(envelope__isnull=True).count() == 0
    request.getfixturevalue("never_read")
    with closing(open_store()) as store:
        kept = (store.read_structures(contents), store.read_envelopes(contents), store.read_previews(contents))
    assert kept == made


def test_a_search_reads_no_message_twice(inbox: MailboxId, request: pytest.FixtureRequest) -> None:
    contents = file(inbox, MESSAGE, b"Subject: other\r\n\r\nslow\r\n")
    with closing(open_store()) as store:
        assert store.search_text(contents, "QUICK brown", body_only=True) == {contents[0]}
    request.getfixturevalue("never_read")
    with closing(open_store()) as store:
        assert store.search_text(contents, "the quick", body_only=False) == {contents[0]}
        assert store.search_text(contents, "grüße", body_only=False) == {contents[0]}
        assert store.search_text(contents, "ow", body_only=True) == set(contents)
        assert store.search_text(contents, "quickest", body_only=True) == set()


def test_the_indexer_goes_through_everything_that_has_settled(
    inbox: MailboxId, still_clock: StillClock, request: pytest.FixtureRequest
) -> None:
    contents = file(inbox, *[MESSAGE] * 130)
    indexer = TextIndexer()
    assert indexer.run(clock.now()) == 0
    still_clock.advance(seconds=SETTLED.total_seconds() + 1)
    assert indexer.run(clock.now()) == 130
    assert indexer.run(clock.now()) == 0
    request.getfixturevalue("never_read")
    with closing(open_store()) as store:
        assert store.search_text(contents, "brown", body_only=True) == set(contents)


def test_the_indexer_rests_as_long_as_it_works(inbox: MailboxId, monkeypatch: pytest.MonkeyPatch) -> None:
    file(inbox, *[MESSAGE] * 250)
    ticks = itertools.count()
    monkeypatch.setattr(indexing, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    rests: list[float] = []
    assert TextIndexer(rests.append).run(clock.now() + 2 * SETTLED, seconds=1000) == 250
    assert rests == [1.0, 1.0, 1.0]


def test_what_the_index_knows_is_asked_once_and_forgotten_when_it_is_emptied(data_folder: Path) -> None:
    """Another process empties it after an older database was put back: then what was known is not."""
    contents = [ContentId(id_) for id_ in range(1, 1001)]
    path = data_folder / "another.sqlite3"
    index = SqliteTextIndex(path, lambda: 1000)
    index.add({content: IndexedText("", "BROWN FOX") for content in contents if content % 100})
    unknown = {content for content in contents if content % 100 == 0}
    for _ in range(2):
        assert index.find(contents, "BROWN") == Candidates(set(contents) - unknown, unknown)
    index.add({ContentId(100): IndexedText("", "WHITE FOX")})
    assert index.find(contents, "FOX").unknown == unknown - {100}
    assert index.find([ContentId(100)], "WHITE").possible == {100}
    SqliteTextIndex(path, lambda: 5).find(contents, "BROWN")
    assert index.find(contents, "BROWN") == Candidates(set(), set(contents))
    index.close()


def test_the_indexer_stops_when_its_time_is_up_and_goes_on(inbox: MailboxId) -> None:
    file(inbox, *[MESSAGE] * 130)
    later = clock.now() + 2 * SETTLED
    indexer = TextIndexer()
    counts = [indexer.run(later, seconds=0.000001) for _ in range(3)]
    counts.append(indexer.run(later))
    assert sum(counts) == 130
    assert indexer.run(later) == 0


def test_the_index_forgets_what_is_deleted(inbox: MailboxId, data_folder: Path) -> None:
    contents = file(inbox, MESSAGE, MESSAGE)
    with closing(open_store()) as store:
        store.index_texts(contents)
        store.submit(Unit(removals=(Removal(inbox, (Uid(1),)),))).result(WAIT_SECONDS)
    collect_orphans(clock.now() + GRACE + timedelta(minutes=1))
    index = open_text_index()
    found = index.find(contents, "BROWN")
    assert (found.possible, found.unknown) == ({contents[1]}, {contents[0]})
    index.close()


def test_an_index_that_is_ahead_of_its_database_starts_afresh(inbox: MailboxId, data_folder: Path) -> None:
    """As after an older copy of the database was put back."""
    (content,) = file(inbox, MESSAGE)
    index = SqliteTextIndex(data_folder / "another.sqlite3", lambda: 10**10)
    index.add({content: IndexedText("", "BROWN"), ContentId(content + 10**9): IndexedText("", "BROWN")})
    assert index.find([content], "BROWN").possible == {content}
    index.close()
    reopened = SqliteTextIndex(data_folder / "another.sqlite3", lambda: content)
    assert reopened.find([content], "BROWN").unknown == {content}
    reopened.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 1000, b""])
def test_a_damaged_index_is_no_reason_to_find_nothing(
    inbox: MailboxId, data_folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    contents = file(inbox, MESSAGE)
    path = data_folder / "another.sqlite3"
    path.write_bytes(damage)
    index = SqliteTextIndex(path, lambda: contents[0])
    with closing(open_store()) as store:
        search = TextSearch(store.read_contents, index)
        for _ in range(2):
            assert search.search(contents, "brown", body_only=True) == set(contents)
    assert ("cannot be used" in caplog.text) is bool(damage)
    index.close()


@pytest.mark.parametrize(
    ("needle", "expected"),
    [
        ("", []),
        ("ab", []),
        ("abc", ["abc"]),
        ("abcd", ["abc", "bcd"]),
        ("abcdefg", ["abc", "def", "efg"]),
        ("aaaaaa", ["aaa"]),
    ],
)
def test_the_pieces_of_a_needle(needle: str, expected: list[str]) -> None:
    assert pieces(needle) == expected
