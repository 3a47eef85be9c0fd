# SPDX-License-Identifier: MIT
"""What a peer has said, made fit for a column; how rows of other areas are made; and which store is opened."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mailserver.clock import now
from mailserver.store import opening
from mailserver.store.blobs import LocalBlobs
from mailserver.store.interface import LanTarget, NewContent, NewQueued
from mailserver.store.records import QUEUED_COLUMNS, clean, fit, queued_rows
from mailserver.store.s3 import S3Blobs
from mailserver.values import Address, ContentId, DsnNotify, DsnReturn, Envelope, Recipient, UserId
from tests.support.filings import make_body


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("plain", "plain"),
        ("nul\0nul", "nulnul"),
        ("caf\u00e9\0", "caf\u00e9"),
        ("lone \ud83d surrogate", "lone ? surrogate"),
        ("\U0001f4ee", "\U0001f4ee"),
    ],
)
def test_text_that_a_database_cannot_hold_is_cleaned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    cleaned.encode()


def test_text_is_cut_to_its_column() -> None:
    assert fit("\u00e9" * 10, 4) == "\u00e9" * 4


MOMENT = now()


def make_rows(new: NewQueued, content: NewContent, content_id: ContentId) -> list[SimpleNamespace]:
    rows = queued_rows(new, content, content_id, MOMENT)
    return [SimpleNamespace(**dict(zip(QUEUED_COLUMNS, row, strict=True))) for row in rows]


def test_a_queue_row_keeps_what_the_envelope_says() -> None:
    envelope = Envelope(
        reverse_path=Address("me", "example.test"),
        recipients=(
            Recipient(Address("a", "b.test"), frozenset({DsnNotify.SUCCESS, DsnNotify.DELAY}), "rfc822;x+2B@b.test"),
            Recipient(Address("c", "d.test")),
        ),
        dsn_return=DsnReturn.HEADERS,
        envelope_id="id+3D1",
        smtputf8=True,
    )
    content = NewContent("R", make_body(b"12345"), b"head")
    first, second = make_rows(NewQueued(envelope, UserId(3)), content, ContentId(9))
    assert (first.notify, first.original_recipient, first.dsn_return) == ("DELAY SUCCESS", "rfc822;x+2B@b.test", "HDRS")
    assert (second.notify, second.original_recipient, second.recipient) == ("", "", "c@d.test")
    for row in (first, second):
        assert (row.ref, row.content, row.user, row.size, row.envelope_id) == ("R", 9, 3, 9, "id+3D1")
        assert (row.smtputf8, row.eight_bit, row.reverse_path) == (True, False, "me@example.test")


def test_the_null_path_is_empty() -> None:
    envelope = Envelope(None, (Recipient(Address("a", "b.test")),))
    (row,) = make_rows(NewQueued(envelope), NewContent("R", make_body(b"")), ContentId(1))
    assert (row.reverse_path, row.user, row.dsn_return) == ("", None, "")


def test_how_it_is_to_be_sent() -> None:
    recipients = (Recipient(Address("a", "b.test")),)
    content = NewContent("R", make_body(b""), fields={"subject": "Hi"})
    new = NewQueued(Envelope(None, recipients), login="anna", client="192.0.2.1", priority=7, urgent=True)
    (row,) = make_rows(new, content, ContentId(1))
    assert (row.login, row.client, row.subject, row.priority, row.urgent) == ("anna", "192.0.2.1", "Hi", 7, True)
    assert (row.status, row.hold_until, row.delete_after, row.route, row.lan_server) == (
        "waiting",
        None,
        None,
        "senders",
        "",
    )
    new = replace(new, hold=True, hold_seconds=30, delete_after_seconds=60, lan=LanTarget("10.0.0.1:26", "u", b"s"))
    (row,) = make_rows(new, content, ContentId(1))
    assert (row.status, row.hold_until, row.delete_after) == (
        "held",
        MOMENT + timedelta(seconds=30),
        MOMENT + timedelta(seconds=60),
    )
    assert (row.route, row.lan_server, row.lan_login, row.lan_secret) == ("lan", "10.0.0.1:26", "u", b"s")


@pytest.mark.parametrize(
    ("place", "kind"), [("", LocalBlobs), ("/somewhere/shared", LocalBlobs), ("s3://bucket/p?region=x", S3Blobs)]
)
def test_bodies_are_where_the_environment_says(place: str, kind: type, settings: Any, data_folder: Path) -> None:
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, blobs=place)
    blobs = opening.open_blobs()
    assert isinstance(blobs, kind)
    if kind is LocalBlobs:
        folder = Path(place) if place else data_folder / "blobs"
        assert blobs.path("abcd") == folder / "ab" / "abcd"
    assert opening.spool_folder() == data_folder / "spool"


def test_an_object_store_without_boto3_is_explained(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mailserver.store.s3", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, blobs="s3://bucket")
    with pytest.raises(SystemExit, match="needs boto3"):
        opening.open_blobs()
