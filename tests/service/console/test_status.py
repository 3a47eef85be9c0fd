# SPDX-License-Identifier: MIT
"""The status page: what runs, what does not, who is connected, and what happened today."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from mailserver import clock
from mailserver.activity.models import Process
from mailserver.activity.services import SessionBrief, heartbeat, register_process, take_commands
from mailserver.config.catalog import TIME_ZONE
from mailserver.config.models import Certificate, Service
from mailserver.config.services import set_setting, update_service
from mailserver.journey.models import Journey, JourneyEvent
from mailserver.users.models import User
from tests.service.console.forms import messages_of
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LIVE = "/admin/status/live/"


def run_daemon(errors: dict[str, str] | None = None, problem: str = "") -> int:
    """A daemon that listens for every service, but for those with an error; one session of each protocol."""
    wrong = errors or {}
    listeners = [[row.pk, "somewhere", wrong.get(row.name, "")] for row in Service.objects.all()]
    started = clock.now().isoformat()
    sessions = [
        SessionBrief("smtp", 17, "SMTP", "203.0.113.7", started, "", "receiving a message"),
        SessionBrief("pop3", 3, "POP3S", "192.0.2.20", started, "anna@example.test"),
    ]
    process = register_process(Process.Kind.SERVE)
    heartbeat(process, Process.Kind.SERVE, report={"listeners": listeners, "problem": problem}, sessions=sessions)
    return process


def run_worker() -> None:
    heartbeat(register_process(Process.Kind.WORKER), Process.Kind.WORKER)


def look(browser: Client) -> str:
    return browser.get(LIVE).content.decode()


def test_when_everything_runs_it_says_so(browser: Client) -> None:
    run_daemon()
    run_worker()
    page = look(browser)
    assert "Everything is running" in page
    assert page.count("Listening") == Service.objects.count()


def test_without_processes_it_says_what_does_not_work(browser: Client) -> None:
    page = look(browser)
    assert "Mail is neither accepted nor given out" in page
    assert "no worker is running" in page


def test_a_worker_has_a_moment_to_report(browser: Client, still_clock: StillClock) -> None:
    process = run_daemon()
    assert "Everything is running" in look(browser)
    still_clock.advance(minutes=1)
    Process.objects.filter(pk=process).update(heartbeat=clock.now())
    assert "no worker is running" in look(browser)


def test_a_process_that_fell_silent_counts_as_gone(browser: Client) -> None:
    process = run_daemon()
    Process.objects.filter(pk=process).update(heartbeat=clock.now() - timedelta(minutes=2))
    page = look(browser)
    assert "Not heard of for a while" in page
    assert "Mail is neither accepted nor given out" in page
    assert "203.0.113.7" not in page, "its sessions are gone with it"


def test_a_service_that_cannot_listen_needs_attention(browser: Client) -> None:
    run_daemon({"POP3": "Port 2110 on 127.0.0.1 is used by another program"})
    run_worker()
    page = look(browser)
    assert "Needs your attention" in page
    assert page.count("Port 2110 on 127.0.0.1 is used by another program") == 2


def test_a_service_that_is_switched_off_is_no_problem(browser: Client) -> None:
    update_service(Service.objects.get(name="POP3").pk, fields={"enabled": False})
    run_daemon()
    run_worker()
    page = look(browser)
    assert "Switched off" in page
    assert "Everything is running" in page


def test_settings_that_a_daemon_could_not_use_need_attention(browser: Client) -> None:
    run_daemon(problem="The key file is another one")
    run_worker()
    assert "The key file is another one" in look(browser)


def test_a_certificate_that_runs_out_needs_attention(browser: Client, still_clock: StillClock) -> None:
    run_daemon()
    run_worker()
    assert "certificate" not in look(browser)
    Certificate.objects.all().delete()
    assert "There is no certificate" in look(browser)


def test_sessions_are_listed_and_can_be_ended(browser: Client) -> None:
    process = run_daemon()
    page = look(browser)
    assert "SMTP 17" in page
    assert "anna@example.test" in page
    assert f'value="{process}/smtp:17"' in page
    response = browser.post("/admin/status/end-session/", {"session": f"{process}/smtp:17"}, follow=True)
    assert "is being ended" in messages_of(response)
    assert [(each.command, each.argument) for each in take_commands(process)] == [("end-session", "smtp:17")]


@pytest.mark.parametrize("handle", ["", "x/smtp:17", "999999/smtp:17", "12"])
def test_ending_a_session_that_is_gone_harms_nobody(browser: Client, handle: str) -> None:
    process = run_daemon()
    assert browser.post("/admin/status/end-session/", {"session": handle}).status_code == 302
    assert take_commands(process) == []


def test_sessions_are_not_ended_by_a_link(browser: Client) -> None:
    assert browser.get("/admin/status/end-session/").status_code == 405


def test_ending_a_session_is_for_administrators(anna: User) -> None:
    process = run_daemon()
    client = Client()
    client.force_login(anna)
    client.post("/admin/status/end-session/", {"session": f"{process}/smtp:17"})
    assert take_commands(process) == []


def test_today_begins_at_midnight_in_the_chosen_time_zone(browser: Client, still_clock: StillClock) -> None:
    """The clock stands at a Monday morning in UTC: in Auckland it is evening, and twelve hours earlier is today."""
    journey = Journey.objects.create(ref="0" * 26, started=clock.now(), source="smtp")
    at = clock.now() - timedelta(hours=12)
    JourneyEvent.objects.create(journey=journey, at=at, kind="accepted")
    assert browser.get("/admin/").context["picture"].today.accepted == 0
    set_setting(TIME_ZONE.name, "Pacific/Auckland")
    assert browser.get("/admin/").context["picture"].today.accepted == 1
