# SPDX-License-Identifier: MIT
"""The outgoing queue and the mailboxes on screen."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.test import Client

from mailserver import clock
from mailserver.leases import services as leases
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.recording import REPORT, record
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.store.models import Content, Mailbox
from mailserver.users.models import User
from mailserver.work.models import WorkItem
from tests.support.queueing import MESSAGE, make_queued, make_sender
from tests.support.still_clock import StillClock

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
    assert "/admin/queue/" in page


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


def listed(browser: Client, query: str = "") -> list[str]:
    found = browser.get(f"{QUEUE}{query}").context["cl"].result_list
    return [row.recipient for row in found]


def test_what_is_done_with_shows_only_when_it_is_asked_for(browser: Client) -> None:
    make_queued("w@r.example")
    make_queued("h@r.example", status="held")
    make_queued("s@r.example", status="sent", finished=clock.now())
    make_queued("f@r.example", status="failed", finished=clock.now())
    make_queued("c@r.example", claim="somebody")
    make_queued("l@r.example", route="lan", lan_server="10.0.0.1")
    assert listed(browser) == ["w@r.example", "h@r.example", "c@r.example"]
    for state, expected in (("waiting", "w"), ("held", "h"), ("sending", "c"), ("sent", "s"), ("failed", "f")):
        assert listed(browser, f"?state={state}") == [f"{expected}@r.example"]
    assert len(listed(browser, "?state=all")) == 5


SEARCHES = [("bob", 1), ("to:bob", 1), ("from:bob", 0), ("size>1k", 1), ("size<1k", 1), ("answer:busy", 1)]
SEARCHES += [("priority=1..9 subject:prices", 1), ("user:anna address:192.0.2", 1), ("nobody", 0)]


@pytest.mark.parametrize(("words", "count"), SEARCHES)
def test_search(browser: Client, words: str, count: int) -> None:
    make_queued("bob@r.example", priority=5, subject="Prices of May", size=100)
    make_queued("zoe@r.example", login="anna", client="192.0.2.9", last_reply="450 busy", size=5000)
    assert len(listed(browser, f"?q={quote(words)}")) == count


def test_what_the_state_says(browser: Client, still_clock: StillClock) -> None:
    make_queued(next_attempt=clock.now() + timedelta(minutes=5))
    make_queued(hold_until=clock.now() + timedelta(days=2))
    make_queued(claim="me")
    page = browser.get(QUEUE).content.decode()
    for words in ("Next try 09:35", "Held until 4 Mar, 09:30", "Being sent"):
        assert words in page


def test_actions_change_what_they_say(browser: Client) -> None:
    (first,) = make_queued(next_attempt=clock.now() + timedelta(hours=1))
    (second,) = make_queued()
    rows = QueuedRecipient.objects.filter(pk=first)
    act(browser, "retry_selected", *rows)
    act(browser, "go_first", *rows)
    found = rows.get()
    assert (found.next_attempt, found.priority) == (None, 1)
    act(browser, "go_last", *rows)
    assert rows.get().priority == 100
    act(browser, "go_as_usual", *rows)
    assert rows.get().priority == 50
    act(browser, "delete_and_notify_selected", *rows)
    assert rows.get().status == "failed"
    assert WorkItem.objects.filter(kind=REPORT).count() == 1
    assert QueuedRecipient.objects.get(pk=second).status == "waiting"


def test_what_is_being_sent_is_not_deleted(browser: Client) -> None:
    (id_,) = make_queued(claim="me")
    assert leases.acquire("sender:1", "me", 60)
    act(browser, "delete_selected", *QueuedRecipient.objects.all())
    assert "1 recipient was being sent at this moment" in browser.get(QUEUE).content.decode()
    assert QueuedRecipient.objects.filter(pk=id_).exists()
    act(browser, "hold_selected", *QueuedRecipient.objects.all())
    page = browser.get(QUEUE).content.decode()
    assert "0 recipients were held" in page
    assert "1 recipient was being sent at this moment, and held only if that fails" in page


def page_of(id_: int) -> str:
    return f"/admin/queue/{id_}/"


def test_page_of_a_recipient_tells_everything(browser: Client, data_folder: object) -> None:
    id_, other = make_queued("x@r.example", "y@r.example", claim="me", login="anna", client="192.0.2.9")
    reply = "450-4.2.0 <script>busy\n450 4.2.0 come back"
    attempt = Attempt(id_, AttemptResult.DEFERRED, reply, server="mx.r.example", tls="TLSv1.3")
    record([attempt], "me", make_sender())
    page = browser.get(page_of(id_)).content.decode()
    for text in ("x@r.example", "alice@example.test", "anna, from 192.0.2.9", "mx.r.example", "TLSv1.3", "Retry now"):
        assert text in page
    assert "450-4.2.0 &lt;script&gt;busy\n450 4.2.0 come back" in page
    assert "Subject: Hello" in page
    assert f"/admin/queue/{other}/" in page


def test_source_is_shown_as_plain_text(browser: Client, data_folder: object) -> None:
    (id_,) = make_queued()
    response = browser.get(f"{page_of(id_)}source/")
    assert response.content == MESSAGE
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert "Content-Disposition" not in response
    assert ".eml" in browser.get(f"{page_of(id_)}source/?download")["Content-Disposition"]


CHANGES = [
    ("hold", "held", 50),
    ("delete-notify", "failed", 50),
    ("priority", "waiting", 7),
    ("nonsense", "waiting", 50),
]


@pytest.mark.parametrize(("change", "status", "priority"), CHANGES)
def test_buttons_of_the_page(browser: Client, change: str, status: str, priority: int) -> None:
    (id_,) = make_queued()
    assert browser.post(f"{page_of(id_)}change/", {"change": change, "priority": "7"}).status_code == 302
    found = QueuedRecipient.objects.get(pk=id_)
    assert (found.status, found.priority) == (status, priority)


def test_what_is_being_sent_is_said_to_be(browser: Client, data_folder: object) -> None:
    (id_,) = make_queued(claim="me")
    assert leases.acquire("sender:1", "me", 60)
    for change, said in (("delete", "at this moment."), ("hold", "at this moment, and is held only if that fails.")):
        browser.post(f"{page_of(id_)}change/", {"change": change})
        assert f"It is being sent {said}" in browser.get(page_of(id_)).content.decode()


def test_refusals_are_told(browser: Client, data_folder: object) -> None:
    (id_,) = make_queued(status="sent")
    browser.post(f"{page_of(id_)}change/", {"change": "hold"})
    browser.post(f"{page_of(id_)}change/", {"change": "priority", "priority": "many"})
    page = browser.get(page_of(id_)).content.decode()
    assert "Nothing was changed" in page
    assert "A priority is a number from 1 to 100" in page
    browser.post(f"{page_of(id_)}change/", {"change": "delete"})
    assert browser.get(page_of(id_)).status_code == 404
    assert browser.get(f"{page_of(id_)}change/").status_code == 405


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
