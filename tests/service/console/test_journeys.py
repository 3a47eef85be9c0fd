# SPDX-License-Identifier: MIT
"""'Where is my mail?': found by any words, told step by step, and harmless whatever a stranger wrote into it."""

from __future__ import annotations

import pytest
from django.test import Client

from mailserver import clock
from mailserver.journey.models import Journey, JourneyEvent

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PAGE = "/admin/where-is-my-mail/"
REF = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def record(ref: str = REF, steps: tuple[tuple[str, str], ...] = (("accepted", ""),), **fields: str) -> None:
    values = {"sender": "ola@elsewhere.example", "subject": "Invoice 4711", "source": "smtp", **fields}
    journey = Journey.objects.create(ref=ref, started=clock.now(), **values)
    for kind, recipient in steps:
        JourneyEvent.objects.create(journey=journey, at=clock.now(), kind=kind, recipient=recipient, detail="so it was")


@pytest.mark.parametrize("words", ["invoice", "4711 ola", "elsewhere.example", REF.lower(), "anna@example.test"])
def test_a_message_is_found_by_any_of_its_words(browser: Client, words: str) -> None:
    record(steps=(("accepted", ""), ("filed", "anna@example.test")))
    page = browser.get(PAGE, {"q": words}).content.decode()
    assert f"{PAGE}{REF}/" in page
    assert "Put into a mailbox" in page


def test_nothing_found_says_what_that_means(browser: Client) -> None:
    record()
    assert "No message with these words has come here" in browser.get(PAGE, {"q": "unicorn"}).content.decode()


def test_before_the_first_message_it_says_how_to_get_one(browser: Client) -> None:
    assert "Send a test message" in browser.get(PAGE).content.decode()


def test_a_message_that_not_everybody_got_is_marked(browser: Client) -> None:
    record(steps=(("refused", "nobody@example.test"), ("filed", "anna@example.test")))
    assert "Refused in part" in browser.get(PAGE).content.decode()


def test_a_journey_is_told_in_order(browser: Client) -> None:
    record(steps=(("accepted", ""), ("filed", "anna@example.test"), ("fetched", "anna@example.test")))
    page = browser.get(f"{PAGE}{REF}/").content.decode()
    places = [page.index(words) for words in ("Came in", "Accepted by this server", "Put into a mailbox", "Collected")]
    assert places == sorted(places)
    assert "so it was" in page


def test_a_ref_that_is_unknown_is_not_found(browser: Client) -> None:
    assert browser.get(f"{PAGE}{REF}/").status_code == 404


def test_what_a_stranger_wrote_is_only_text(browser: Client) -> None:
    record(subject="<script>alert(1)</script>", sender='"><img src=x onerror=alert(2)>@example.test')
    for page in (PAGE, f"{PAGE}{REF}/"):
        content = browser.get(page).content.decode()
        assert "<script>alert(1)" not in content
        assert "<img src=x" not in content
