# SPDX-License-Identifier: MIT
"""Publishing and listening as this installation does it: sockets embedded, LISTEN and NOTIFY on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from mailserver import notices
from mailserver.notices import EVERYTHING, Listener
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def listener(data_folder: Path) -> Iterator[Listener]:
    made = notices.listen()
    if connection.vendor == "postgresql":
        assert made.receive(5) == {EVERYTHING}
    yield made
    made.close()
    made.receive(0)


def test_published_topics_are_heard(listener: Listener) -> None:
    topics = {notices.SETTINGS, notices.mailbox_topic(4), notices.process_topic(1)}
    notices.publish(topics)
    heard: set[str] = set()
    wait_until(lambda: heard.update(listener.receive(0.2)) or topics <= heard, 5, "the topics")
    assert heard == topics


def test_more_topics_than_one_notice_holds(listener: Listener) -> None:
    topics = {notices.mailbox_topic(number) for number in range(1500)}
    notices.publish(topics)
    heard: set[str] = set()
    wait_until(lambda: heard.update(listener.receive(0.2)) or topics <= heard, 5, "the topics")


def test_nothing_is_published_for_nothing(listener: Listener) -> None:
    notices.publish([])
    assert listener.receive(0.05) == frozenset()


def test_lost_connection_means_everything_may_have_changed(listener: Listener) -> None:
    """Only a database connection can be lost; a datagram socket is there or its process is not."""
    if connection.vendor == "postgresql":
        listener._connection.close()  # type: ignore[attr-defined]
        heard: set[str] = set()
        wait_until(lambda: heard.update(listener.receive(0.05)) or EVERYTHING in heard, 5, "word of the loss")
    notices.publish([notices.QUEUE])
    wait_until(lambda: notices.QUEUE in listener.receive(0.2), 5, "a notice afterwards")


def test_publishing_without_a_database_does_no_harm(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    from django.db import OperationalError

    def refuse(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(connection, "cursor", refuse)
    notices.publish([notices.QUEUE])
