# SPDX-License-Identifier: MIT
"""The welcome message: one for each new user who is to get it, however often the work is done."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from mailserver.config.services import set_setting
from mailserver.journey.records import JourneyStep
from mailserver.journey.services import search
from mailserver.store.opening import open_store
from mailserver.users.services import User, create_user, delete_user, send_welcome
from mailserver.values import UserId
from mailserver.work.models import WorkItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def bob(postmaster: User, data_folder: Path) -> User:
    """Created with the message ordered."""
    return create_user("bob", "bob-secret-22", full_name="Bøb Example", send_welcome=True)


def ordered() -> dict[str, Any]:
    item = WorkItem.objects.get(kind="welcome")
    payload: dict[str, Any] = item.payload
    return payload


def read_inbox(user: User) -> list[bytes]:
    store = open_store(None)
    try:
        inbox = store.get_mailbox(UserId(user.pk), "INBOX")
        contents = store.read_contents([entry.content for entry in store.list_entries(inbox.id)])
        return [b"".join(content.chunks()) for content in contents]
    finally:
        store.close()


def test_it_is_filed_once_however_often_the_work_is_done(bob: User) -> None:
    payload = ordered()
    send_welcome(payload)
    send_welcome(payload)
    (data,) = read_inbox(bob)
    message = message_from_bytes(data, policy=default)
    assert message["To"].addresses[0].addr_spec == "bob@example.test"
    assert message["From"].addresses[0].addr_spec == "postmaster@example.test"
    assert message["To"].addresses[0].display_name == "Bøb Example"
    text = message.get_body().get_content()  # type: ignore[union-attr]
    assert "Welcome, Bøb Example!" in text
    assert "bob@example.test" in text
    assert data.count(b"\n") == data.count(b"\r\n")


def test_its_journey_can_be_followed(bob: User) -> None:
    send_welcome(ordered())
    (found,) = search("welcome bob@example.test")
    assert [step.kind for step in found.steps] == [JourneyStep.FILED]
    assert found.record.ref == ordered()["ref"]


def test_the_text_is_a_setting_and_only_its_marks_are_filled_in(bob: User) -> None:
    set_setting("users.welcome_text", "{name} {address} {0} {nothing} {full_name}")
    send_welcome(ordered())
    (data,) = read_inbox(bob)
    body = message_from_bytes(data, policy=default).get_body()
    assert body is not None
    assert body.get_content().strip() == "bob bob@example.test {0} {nothing} Bøb Example"


def test_somebody_who_is_gone_meanwhile_gets_nothing(bob: User) -> None:
    payload = ordered()
    delete_user(bob.pk)
    send_welcome(payload)
    assert search("") == []


def test_nobody_else_gets_one(alice: User) -> None:
    assert not WorkItem.objects.exists()
