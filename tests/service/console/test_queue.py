# SPDX-License-Identifier: MIT
"""The outgoing queue and the mailboxes on screen."""

from __future__ import annotations

import pytest
from django.test import Client

from mailserver import clock
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.models import Content, Mailbox
from mailserver.users.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.database]
QUEUE, MAILBOXES = "/admin/outqueue/queuedrecipient/", "/admin/store/mailbox/"


def queue(*recipients: str) -> list[QueuedRecipient]:
    content = Content.objects.create(ref="0" * 26, sha256="", body=b"x", size=1, created=clock.now())
    return [
        QueuedRecipient.objects.create(
            ref=content.ref,
            content=content,
            reverse_path="anna@example.test",
            recipient=recipient,
            domain=recipient.rpartition("@")[2],
            size=123_456,
            queued=clock.now(),
        )
        for recipient in recipients
    ]


def act(browser: Client, action: str, *rows: QueuedRecipient) -> None:
    form = {"action": action, "_selected_action": [row.pk for row in rows], "post": "yes"}
    assert browser.post(QUEUE, form).status_code == 302


def test_what_waits_is_listed(browser: Client) -> None:
    queue("ola@elsewhere.example")
    page = browser.get(QUEUE).content.decode()
    assert "ola@elsewhere.example" in page
    assert "120.6\xa0KB" in page
    assert "/admin/where-is-my-mail/" in page


def test_an_empty_queue_is_good_news(browser: Client) -> None:
    assert "Nothing is waiting" in browser.get(QUEUE).content.decode()


def test_recipients_are_held_and_released(browser: Client) -> None:
    first, second = queue("ola@elsewhere.example", "per@elsewhere.example")
    act(browser, "hold_selected", first)
    assert [row.status for row in QueuedRecipient.objects.all()] == ["held", "waiting"]
    act(browser, "release_selected", first, second)
    assert [row.status for row in QueuedRecipient.objects.all()] == ["waiting", "waiting"]


def test_recipients_are_deleted_for_good(browser: Client) -> None:
    first, second = queue("ola@elsewhere.example", "per@elsewhere.example")
    act(browser, "delete_selected", first)
    assert list(QueuedRecipient.objects.all()) == [second]
    assert browser.post(f"{QUEUE}{second.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not QueuedRecipient.objects.exists()


def test_nothing_is_added_to_the_queue_by_hand(browser: Client) -> None:
    assert browser.get(f"{QUEUE}add/").status_code == 403


def test_mailboxes_are_listed_with_their_counts(browser: Client, anna: User) -> None:
    Mailbox.objects.filter(user=anna, name="INBOX").update(messages=1234, unseen=56, size=5_000_000)
    page = browser.get(f"{MAILBOXES}?q=anna").content.decode()
    for text in ("1,234", ">56<", "4.8\xa0MB", "Inbox", "Archive"):
        assert text in page


def test_mailboxes_are_sorted_by_size_and_filtered_by_user(browser: Client, anna: User) -> None:
    Mailbox.objects.filter(user=anna, name="Sent").update(size=5_000_000)
    assert browser.get(f"{MAILBOXES}?o=-4").context["cl"].result_list[0].name == "Sent"
    found = browser.get(f"{MAILBOXES}?user__id__exact={anna.pk}").context["cl"].result_list
    assert {mailbox.user for mailbox in found} == {anna}
