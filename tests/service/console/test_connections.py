# SPDX-License-Identifier: MIT
"""Connections, Collectors, the schedule and download rules on screen: saved whole, refused in plain words."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from mailserver import clock
from mailserver.connectors import runs, services, triggers
from mailserver.connectors.models import Collector, Connection, ConnectionRun, DownloadRule, ScheduleItem, Sender
from mailserver.connectors.reading import read_collectors, read_senders
from mailserver.connectors.remote_tests import finish_test, take_test
from mailserver.connectors.services import ServerInput
from mailserver.connectors.values import MAX_CONNECTIONS, Outcome
from mailserver.leases import services as leases
from mailserver.users.models import User
from tests.service.console.forms import messages_of, read_form

pytestmark = [pytest.mark.django_db, pytest.mark.database]
CONNECTIONS, COLLECTORS = "/admin/connectors/connection/", "/admin/connectors/collector/"
SCHEDULE, RULES = "/admin/connectors/scheduleitem/", "/admin/connectors/downloadrule/"
WIZARD = f"{COLLECTORS}new/"


def errors(response: object) -> str:
    return str(response.context["adminform"].form.errors)  # type: ignore[attr-defined]


@pytest.fixture
def first(administrator: User) -> Connection:
    return Connection.objects.get()


@pytest.fixture
def provider(first: Connection, anna: User) -> Collector:
    fields = {
        "name": "Provider",
        "method": "pop3",
        "server": "pop.example.net",
        "username": "office",
        "password": "secret",
        "target": "anna",
    }
    return Collector.objects.get(pk=services.create_collector(fields))


def test_every_list_is_there_when_it_is_empty_and_when_it_is_not(
    browser: Client, provider: Collector, first: Connection
) -> None:
    for page in (CONNECTIONS, COLLECTORS, SCHEDULE, RULES, "/admin/connectors/connectionrun/"):
        assert browser.get(page).status_code == 200
    assert "No server named yet" in browser.get(CONNECTIONS).content.decode()
    assert "pop.example.net" in browser.get(COLLECTORS).content.decode()


def test_a_password_that_cannot_be_read_is_seen_in_the_list(browser: Client, first: Connection) -> None:
    Sender.objects.update(secret=b"v1:" + bytes(40))
    assert "Its password cannot be read" in browser.get(CONNECTIONS).content.decode()


def test_a_sender_is_changed_on_the_page_of_its_connection(browser: Client, first: Connection) -> None:
    page = f"{CONNECTIONS}{first.pk}/change/"
    form = read_form(browser, page, "connection_form")
    form |= {
        "servers": ["smtp.example.net:587\n[::1]:2525 none"],
        "server_encryption": ["starttls"],
        "login_method": ["automatic"],
        "username": ["office"],
        "password": ["top-secret"],
    }
    assert browser.post(page, form).status_code == 302
    (sender,) = read_senders()
    assert [(server.host, server.port, server.encryption) for server in sender.servers] == [
        ("smtp.example.net", 587, "starttls"),
        ("::1", 2525, "none"),
    ]
    assert sender.credentials.password == "top-secret"
    assert b"top-secret" not in browser.get(page).content
    assert browser.post(page, read_form(browser, page, "connection_form")).status_code == 302
    assert read_senders() == [sender]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"servers": "smtp.example.net 587"}, "is not one of"),
        ({"servers": "good.example\nsmtp.example.net:99999"}, "99999 is not a port"),
        ({"retry_minutes": "soon"}, "whole minutes"),
        ({"warn_hours": "80"}, "before giving up"),
        ({"rate_recipients": "5"}, "Give both"),
        ({"name": ""}, "required"),
    ],
)
def test_what_is_wrong_with_a_sender_is_said(
    browser: Client, first: Connection, changes: dict[str, str], complaint: str
) -> None:
    page = f"{CONNECTIONS}{first.pk}/change/"
    before = read_senders()
    response = browser.post(page, {**read_form(browser, page, "connection_form"), **changes})
    assert complaint in errors(response)
    assert read_senders() == before


def test_there_are_ten_connections_at_most_and_one_at_least(browser: Client, first: Connection) -> None:
    add = f"{CONNECTIONS}add/"
    for number in range(2, MAX_CONNECTIONS + 1):
        form = {**read_form(browser, add, "connection_form"), "name": f"Line {number}"}
        assert browser.post(add, form).status_code == 302
    response = browser.post(add, {**read_form(browser, add, "connection_form"), "name": "One more"})
    assert "more there cannot be" in errors(response)
    for row in Connection.objects.exclude(pk=first.pk):
        browser.post(f"{CONNECTIONS}{row.pk}/delete/", {"post": "yes"})
    response = browser.post(f"{CONNECTIONS}{first.pk}/delete/", {"post": "yes"}, follow=True)
    assert "the only Connection" in messages_of(response)
    assert Connection.objects.get() == first


def test_saving_an_unchanged_collector_changes_nothing(browser: Client, provider: Collector) -> None:
    page = f"{COLLECTORS}{provider.pk}/change/"
    before = read_collectors()
    assert browser.post(page, read_form(browser, page, "collector_form")).status_code == 302
    assert read_collectors() == before
    assert [row.name for row in provider.connections.all()] == ["Internet"]


def test_what_means_nothing_without_mappings_is_not_shown_and_not_changed(browser: Client, provider: Collector) -> None:
    Collector.objects.filter(pk=provider.pk).update(disable_default_mapping=True)
    page = f"{COLLECTORS}{provider.pk}/change/"
    values = read_form(browser, page, "collector_form")
    assert 'name="ignore_received"' in browser.get(page).content.decode()
    assert "disable_default_mapping" not in browser.get(page).content.decode()
    assert browser.post(page, {**values, "ignore_received": "on"}).status_code == 302
    provider.refresh_from_db()
    assert (provider.ignore_received, provider.disable_default_mapping) == (True, True)


def test_a_collector_says_what_it_lacks(browser: Client, provider: Collector) -> None:
    page = f"{COLLECTORS}{provider.pk}/change/"
    form = {**read_form(browser, page, "collector_form"), "routing": "headers", "target": "nobody"}
    assert "which domains" in errors(browser.post(page, form))
    form = {**read_form(browser, page, "collector_form"), "target": "nobody"}
    assert "no user nobody" in errors(browser.post(page, form))


def test_the_wizard_makes_a_collector(browser: Client, first: Connection, anna: User) -> None:
    assert browser.get(f"{COLLECTORS}add/").headers["Location"] == WIZARD
    browser.get(WIZARD)
    answer = browser.post(f"{WIZARD}?step=method", {"name": "Catch-all", "method": "pop3", "next": ""})
    assert answer.headers["Location"].endswith("?step=server")
    server = {
        "server": "pop.example.net",
        "encryption": "tls",
        "login_method": "automatic",
        "username": "office",
        "password": "top-secret",
        "next": "",
    }
    assert browser.post(f"{WIZARD}?step=server", server).headers["Location"].endswith("?step=routing")
    wrong = {"routing": "headers", "max_kilobytes": "0", "leave_on_server_days": "2", "next": ""}
    assert b"which domains" in browser.post(f"{WIZARD}?step=routing", wrong).content
    right = {**wrong, "accepted_domains": "example.com"}
    assert browser.post(f"{WIZARD}?step=routing", right).headers["Location"].endswith("?step=connections")
    last = {"connections": [str(first.pk)], "next": ""}
    assert re.search(r"/collector/\d+/change/$", browser.post(f"{WIZARD}?step=connections", last).headers["Location"])
    (collector,) = read_collectors()
    assert (collector.server.host, collector.server.port) == ("pop.example.net", 995)
    assert collector.credentials.password == "top-secret"
    assert collector.routing.accepted_domains == "example.com"
    assert first.collectors.count() == 1


def test_the_wizard_goes_back_and_leaves_no_password_in_the_open(browser: Client, first: Connection) -> None:
    browser.get(WIZARD)
    browser.post(f"{WIZARD}?step=method", {"name": "ETRN", "method": "incoming-smtp", "next": ""})
    assert b"wait_seconds" in browser.get(f"{WIZARD}?step=server").content
    assert browser.post(f"{WIZARD}?step=server", {"back": ""}).headers["Location"].endswith("?step=method")
    browser.post(f"{WIZARD}?step=method", {"name": "Box", "method": "imap", "next": ""})
    server = {
        "server": "h.example",
        "encryption": "none",
        "login_method": "plain",
        "username": "u",
        "password": "pw-12",
    }
    browser.post(f"{WIZARD}?step=server", {**server, "next": ""})
    assert "pw-12" not in str(dict(browser.session.items()))


def test_a_feed_needs_no_routing(browser: Client, first: Connection) -> None:
    browser.get(WIZARD)
    browser.post(f"{WIZARD}?step=method", {"name": "Feed", "method": "incoming-smtp", "next": ""})
    feed = {"wait_seconds": "1", "use_etrn": "on", "server": "mx.example.net", "etrn_parameters": "example.com"}
    assert browser.post(f"{WIZARD}?step=server", {**feed, "next": ""}).headers["Location"].endswith("step=connections")
    browser.post(f"{WIZARD}?step=connections", {"next": ""})
    (collector,) = read_collectors()
    assert (collector.use_etrn, collector.etrn_parameters, collector.wait_seconds) == (True, "example.com", 1)


def test_a_schedule_item_is_added_switched_and_refused(browser: Client, first: Connection) -> None:
    add = f"{SCHEDULE}add/"
    form = {**read_form(browser, add, "scheduleitem_form"), "name": "Day", "every_minutes": "5", "start": "07:00"}
    assert browser.post(add, form).status_code == 302
    item = ScheduleItem.objects.get(name="Day")
    assert (item.every_minutes, item.to_default, item.days) == (5, True, "1234567")
    browser.post(f"{SCHEDULE}{item.pk}/switch/")
    item.refresh_from_db()
    assert not item.enabled
    page = f"{SCHEDULE}{item.pk}/change/"
    form = {**read_form(browser, page, "scheduleitem_form"), "start": "21:00", "end": "09:00"}
    assert "cannot pass midnight" in errors(browser.post(page, form))


def test_scheduling_is_paused_and_resumed(browser: Client, first: Connection) -> None:
    assert b"Pause scheduling" in browser.get(SCHEDULE).content
    browser.post(f"{SCHEDULE}pause/", {"pause": ""})
    assert b"Scheduling is paused" in browser.get(SCHEDULE).content
    assert b"Scheduling is paused" in browser.get("/admin/status/live/").content
    browser.post(f"{SCHEDULE}pause/", {"resume": ""})
    assert b"Pause scheduling" in browser.get(SCHEDULE).content


def test_download_rules_are_added_ordered_and_refused(browser: Client, administrator: User) -> None:
    add = f"{RULES}add/"
    for name in ("First", "Second"):
        form = {
            **read_form(browser, add, "downloadrule_form"),
            "name": name,
            "action": "ignore",
            "conditions_0": "header",
            "conditions_1": "Subject",
            "conditions_2": "lottery",
        }
        assert browser.post(add, form).status_code == 302
    second = DownloadRule.objects.get(name="Second")
    assert second.conditions == [{"kind": "header", "field": "Subject", "value": "lottery"}]
    browser.post(f"{RULES}{second.pk}/move/up/")
    assert [rule.name for rule in DownloadRule.objects.order_by("position")] == ["Second", "First"]
    page = f"{RULES}{second.pk}/change/"
    form = {**read_form(browser, page, "downloadrule_form"), "conditions_0": "size", "conditions_2": "huge"}
    assert "is not a number" in errors(browser.post(page, form))
    form = {**read_form(browser, page, "downloadrule_form"), "action": "redirect"}
    assert "somebody to redirect" in errors(browser.post(page, form))


def test_connect_now_marks(browser: Client, first: Connection) -> None:
    other = Connection.objects.get(
        pk=services.create_connection({"name": "Other", "is_default": False}, servers=[ServerInput("h.example")])
    )
    browser.post("/admin/connect-now/", {"connection": "default"})
    first.refresh_from_db()
    other.refresh_from_db()
    assert first.marked
    assert not other.marked
    browser.post("/admin/connect-now/", {"connection": str(other.pk)})
    other.refresh_from_db()
    assert other.marked
    assert "next: Internet, Other" in browser.get("/admin/").content.decode()


def test_a_test_is_asked_for_and_shown(browser: Client, provider: Collector, first: Connection) -> None:
    for page in (f"{COLLECTORS}{provider.pk}/test/", f"{CONNECTIONS}{first.pk}/test/"):
        assert b"Try it" in browser.get(page).content
        asked = browser.post(page).headers["Location"]
        assert b"Trying" in browser.get(asked).content


def test_a_run_is_shown_while_it_goes_on_and_stopped(browser: Client, first: Connection) -> None:
    triggers.connect_now([first.pk])
    assert leases.acquire(runs.RUN_LEASE, "worker", 60)
    run = runs.begin_next("worker")
    assert run is not None
    task = runs.begin_task(run.id, "collector", "Provider")
    runs.record_progress(run.id, {task: runs.TaskProgress(expected=200, done=50, notes="A line to read")})
    for page in ("/admin/", "/admin/status/live/"):
        text = browser.get(page).content.decode()
        assert "Connected: Internet" in text
        assert "50 of 200" in text
    page = browser.get(f"/admin/runs/{run.id}/").content.decode()
    assert "A line to read" in page
    assert "width: 25%" in page
    browser.post(f"/admin/runs/{run.id}/stop/")
    assert "being stopped" in browser.get(f"/admin/runs/{run.id}/live/").content.decode()
    runs.end_task(task, Outcome.FAILED, "The password is wrong.", runs.TaskProgress(done=50, transcript="S: -ERR"))
    runs.end_run(run.id, [Outcome.FAILED])
    page = browser.get(f"/admin/runs/{run.id}/").content.decode()
    assert "The password is wrong." in page
    assert "S: -ERR" in page
    assert "data-refresh-ended" in page
    assert "pb-tone-bad" in browser.get("/admin/").content.decode()
    assert "Failed" in browser.get("/admin/connectors/connectionrun/").content.decode()
    assert browser.get("/admin/runs/999999/").status_code == 404


def test_the_wizard_tries_the_mailbox_before_it_is_made(browser: Client, first: Connection) -> None:
    browser.get(WIZARD)
    browser.post(f"{WIZARD}?step=method", {"name": "Box", "method": "pop3", "next": ""})
    server = {"server": "h.example", "encryption": "tls", "login_method": "plain", "username": "u", "password": "pw-12"}
    asked = browser.post(f"{WIZARD}?step=server", {**server, "test": ""}).headers["Location"]
    assert "Trying" in browser.get(asked).content.decode()
    taken = take_test()
    assert taken is not None
    assert taken.collector is not None
    assert (taken.collector.server.host, taken.collector.server.port) == ("h.example", 995)
    assert taken.collector.credentials.password == "pw-12"
    finish_test(taken.id, False, "The server does not answer.", "C: USER u")
    page = browser.get(asked).content.decode()
    assert "It does not work" in page
    assert "The server does not answer." in page
    assert "C: USER u" in page
    assert not Collector.objects.exists()


def test_what_an_item_denies_is_not_narrowed_by_what_is_hidden(browser: Client, first: Connection) -> None:
    form = read_form(browser, f"{SCHEDULE}add/", "scheduleitem_form")
    assert form["to_default"] == ["on"]
    browser.post(f"{SCHEDULE}add/", {**form, "name": "Night", "deny": "on", "minimum_messages": "3"})
    item = ScheduleItem.objects.get(name="Night")
    assert (item.deny, item.to_default, item.minimum_messages) == (True, False, 0)


def test_another_log_in_forgets_the_account(browser: Client, provider: Collector) -> None:
    account = services.save_account({"name": "Office", "username": "office@example.net", "client_id": "x"})
    services.update_collector(provider.pk, {"login_method": "xoauth2", "oauth": account})
    page = f"{COLLECTORS}{provider.pk}/change/"
    form = {**read_form(browser, page, "collector_form"), "login_method": "automatic"}
    assert form["oauth"] == [str(account)]
    assert browser.post(page, form).status_code == 302
    provider.refresh_from_db()
    assert (provider.login_method, provider.oauth) == ("automatic", None)


def test_the_wizard_keeps_what_was_typed_on_the_way_back(browser: Client, first: Connection) -> None:
    browser.get(WIZARD)
    browser.post(f"{WIZARD}?step=method", {"name": "Box", "method": "pop3", "next": ""})
    browser.post(f"{WIZARD}?step=server", {"server": "pop.example.net", "username": "office", "back": ""})
    assert b"pop.example.net" in browser.get(f"{WIZARD}?step=server").content


def test_a_worker_that_died_while_it_sent_is_not_connected(browser: Client, first: Connection) -> None:
    long_ago = clock.now() - timedelta(hours=1)
    row = {"connection": first, "owner": "elsewhere:1:1:x", "started": long_ago, "heartbeat": long_ago}
    run = ConnectionRun.objects.create(cause="immediate", **row)
    assert b"Connected: " not in browser.get("/admin/status/live/").content
    triggers.connect_now()
    owner = leases.make_owner()
    leases.acquire(runs.RUN_LEASE, owner, 60)
    runs.begin_next(owner)
    run.refresh_from_db()
    assert run.outcome == "failed"
