# SPDX-License-Identifier: MIT
"""`importmail` and `exportmail`: there and back again, twice, and what they complain about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailserver.store.database import DatabaseStore
from mailserver.store.interface import Entry
from mailserver.store.opening import open_store
from mailserver.users.services import find_user
from mailserver.values import Flag, UserId
from tests.service.commands.conftest import Run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("transactional_db", "data_folder", "installation"),
]

MBOX = (
    b"From a@b Sat Feb  3 04:05:06 2001\nStatus: RO\nSubject: one\n\nbody\n\n"
    b"From a@b Sat Feb  3 04:05:07 2001\nX-Keywords: work\nSubject: two\n\n" + b"line\n" * 20_000 + b"\n"
    b"From a@b Sat Feb  3 04:05:08 2001\nSubject: one\n\nbody\n"
)


@pytest.fixture
def store() -> Iterator[DatabaseStore]:
    with closing(open_store()) as opened:
        yield opened


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    path = tmp_path / "in.mbox"
    path.write_bytes(MBOX)
    return path


def entries(store: DatabaseStore, folder: str) -> list[Entry]:
    user = UserId(get_user_id())
    return store.list_entries(store.get_mailbox(user, folder).id)


def get_user_id() -> int:

    user = find_user("postmaster")
    assert user is not None
    return user.pk


def test_an_mbox_comes_in_once(run: Run, store: DatabaseStore, mbox: Path) -> None:
    done = run("importmail", "postmaster", "Old/Mail", str(mbox))
    assert (done.status, done.err) == (0, "")
    assert done.out == "Filed in Old/Mail of postmaster@example.test: 3 messages, 0.1 MB.\n"
    first, second, third = entries(store, "Old/Mail")
    assert first.flags == {Flag.SEEN}
    assert second.flags == {"work"}
    assert first.internal_date.isoformat() == "2001-02-03T04:05:06+00:00"
    contents = store.read_contents([first.content, second.content, third.content])
    assert b"".join(contents[0].chunks()) == b"Subject: one\r\n\r\nbody\r\n"
    assert contents[1].size == len(b"Subject: two\r\n\r\n") + 6 * 20_000
    assert contents[0].fields["subject"] == "one"
    assert "Old/Mail" in store.list_subscriptions(UserId(get_user_id()))
    again = run("importmail", "postmaster", "Old/Mail", str(mbox))
    assert again.out == "Filed in Old/Mail of postmaster@example.test: 0 messages, 0.0 MB; 3 were there already.\n"
    assert len(entries(store, "Old/Mail")) == 3


@pytest.mark.parametrize("target", ["out", "out.mbox"])
def test_there_and_back(run: Run, store: DatabaseStore, mbox: Path, tmp_path: Path, target: str) -> None:
    run("importmail", "postmaster", "INBOX", str(mbox))
    out = run("exportmail", "postmaster", "inbox", str(tmp_path / target))
    assert out.out == f"Written to {tmp_path / target}: 3 messages, 0.1 MB.\n"
    assert run("importmail", "postmaster", "Copy", str(tmp_path / target)).status == 0
    before, after = entries(store, "INBOX"), entries(store, "Copy")
    assert [(e.flags, e.internal_date, e.size) for e in after] == [
        (e.flags if target == "out.mbox" else e.flags - {"work"}, e.internal_date, e.size) for e in before
    ]


def test_a_maildir_export_goes_on(run: Run, mbox: Path, tmp_path: Path) -> None:
    run("importmail", "postmaster", "INBOX", str(mbox))
    run("exportmail", "postmaster", "INBOX", str(tmp_path / "out"))
    next((tmp_path / "out" / "cur").iterdir()).unlink()
    again = run("exportmail", "postmaster", "INBOX", str(tmp_path / "out"))
    assert "1 message, " in again.out
    assert "2 were there already" in again.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("importmail", "nobody", "INBOX", "{in}"), "There is no user nobody."),
        (("importmail", "postmaster", "a//b", "{in}"), "not a mailbox name: 'a//b'"),
        (("importmail", "postmaster", "INBOX", "{folder}/missing"), "No such file"),
        (("importmail", "postmaster", "INBOX", "{folder}"), "is no Maildir folder"),
        (("importmail", "postmaster", "INBOX", "{folder}/text"), "is no mbox file"),
        (("exportmail", "postmaster", "Nowhere", "{folder}/out"), "mailbox 'Nowhere'"),
        (("exportmail", "postmaster", "INBOX", "{in}"), "is there already"),
    ],
)
def test_complaints_are_sentences(run: Run, mbox: Path, tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    (tmp_path / "text").write_bytes(b"no mbox\n")
    outcome = run(*(word.replace("{in}", str(mbox)).replace("{folder}", str(tmp_path)) for word in words))
    assert outcome.status == 1
    assert complaint in outcome.err
    assert "Traceback" not in outcome.err
