# SPDX-License-Identifier: MIT
"""However long a list is, its page asks the database the same number of questions."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from mailserver import clock
from mailserver.activity.models import Process
from mailserver.addressing.services import add_domain
from mailserver.config.models import Service
from mailserver.config.services import AccessRuleInput, set_global_access, set_pool, update_service
from mailserver.journey.models import Journey, JourneyEvent
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.models import Content
from mailserver.users.passwords import Secrets
from mailserver.users.services import create_user

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MOST_QUERIES = 22
"""Session, user and time zone take three of them; a page of the theme counts its rows twice."""

LISTS = (
    "/admin/",
    "/admin/status/live/",
    "/admin/setup/",
    "/admin/where-is-my-mail/?q=a",
    "/admin/access/",
    "/admin/users/user/",
    "/admin/addressing/domain/",
    "/admin/config/service/",
    "/admin/config/bandwidthpool/",
    "/admin/store/mailbox/",
    "/admin/outqueue/queuedrecipient/",
)


def fill(start: int, secrets: Secrets) -> None:
    """Five more of everything."""
    for number in range(start, start + 5):
        add_domain(f"d{number}.test")
        create_user(f"user{number}", secrets, domain=f"d{number}.test")
        set_pool(number + 1, 1000)
        ref = f"{number:026}"
        journey = Journey.objects.create(ref=ref, started=clock.now(), source="smtp", subject="a")
        JourneyEvent.objects.create(journey=journey, at=clock.now(), kind="filed", recipient="a@b.test")
        content = Content.objects.create(ref=ref, sha256="", body=b"x", size=1, created=clock.now())
        QueuedRecipient.objects.create(
            ref=ref, content=content, recipient="a@b.test", domain="b.test", size=1, queued=clock.now()
        )
        Process.objects.create(kind="serve", host="h", pid=number, started=clock.now(), heartbeat=clock.now())
    rules = [AccessRuleInput(network=f"10.{number}.0.0/16") for number in range(start + 5)]
    set_global_access(rules)
    update_service(Service.objects.get(name="SMTP").pk, access_rules=rules)


def service_page() -> str:
    """The page of a service with many rules."""
    return f"/admin/config/service/{Service.objects.get(name='SMTP').pk}/change/"


def count(browser: Client, page: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert browser.get(page).status_code == 200
    return len(queries)


@pytest.mark.parametrize("page", LISTS)
def test_a_longer_list_needs_no_more_queries(browser: Client, secrets: Secrets, page: str) -> None:
    fill(0, secrets)
    few = count(browser, page)
    fill(5, secrets)
    assert count(browser, page) <= few
    assert few <= MOST_QUERIES


def test_a_service_with_many_rules_needs_no_more_queries(browser: Client, secrets: Secrets) -> None:
    fill(0, secrets)
    few = count(browser, service_page())
    fill(5, secrets)
    assert count(browser, service_page()) <= few
    assert few <= MOST_QUERIES
