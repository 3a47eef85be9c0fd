# SPDX-License-Identifier: MIT
"""Services on screen: only the fields that mean something, saved whole, refused in plain words."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from mailserver.config.catalog import SERVICE_TEMPLATES, ServiceKind
from mailserver.config.models import BandwidthPool, Service
from mailserver.config.services import (
    AccessRuleInput,
    current_revision,
    lan_rules,
    set_global_access,
    set_pool,
    update_service,
)
from mailserver.users.models import User
from tests.service.console.forms import messages_of, read_form

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LIST, ADD = "/admin/config/service/", "/admin/config/service/add/"
Form = dict[str, list[str]]


def service(kind: ServiceKind) -> Service:
    return Service.objects.get(kind=kind.value)


def page_of(row: Service) -> str:
    return f"{LIST}{row.pk}/change/"


def form_of(browser: Client, row: Service) -> Form:
    return read_form(browser, page_of(row), "service_form")


def complaints(response: object) -> str:
    """Every complaint about the service's form, its lists included."""
    context = response.context  # type: ignore[attr-defined]
    texts = [str(context["adminform"].form.errors)]
    texts += [str(each.formset.errors) for each in context["inline_admin_formsets"]]
    return " ".join(texts)


@pytest.mark.parametrize("kind", ServiceKind)
def test_the_form_has_the_options_of_its_kind_and_no_others(
    browser: Client, administrator: User, kind: ServiceKind
) -> None:
    fields = set(browser.get(page_of(service(kind))).context["adminform"].form.fields)
    options = {setting.name for setting in SERVICE_TEMPLATES[kind].options}
    every = {setting.name for template in SERVICE_TEMPLATES.values() for setting in template.options}
    assert fields & every == options


def test_limits_say_that_each_process_counts_for_itself(browser: Client, administrator: User) -> None:
    assert browser.get(page_of(service(ServiceKind.SMTP))).content.decode().count("(--workers)") == 3


@pytest.mark.parametrize("kind", ServiceKind)
def test_saving_an_unchanged_service_changes_nothing(browser: Client, administrator: User, kind: ServiceKind) -> None:
    row = service(kind)
    before = Service.objects.filter(pk=row.pk).values().get()
    template = SERVICE_TEMPLATES[kind]
    assert browser.post(page_of(row), form_of(browser, row)).status_code == 302
    after = Service.objects.filter(pk=row.pk).values().get()
    defaults = {setting.name: setting.default for setting in template.options}
    assert {**defaults, **after.pop("options")} == {**defaults, **before.pop("options")}
    assert after == before
    assert [str(binding) for binding in row.bindings.all()] == [f"127.0.0.1:{template.port + 2000}"]


def test_a_binding_is_changed_and_the_daemons_are_told(browser: Client, administrator: User) -> None:
    row, before = service(ServiceKind.POP3), current_revision()
    form = {**form_of(browser, row), "bindings-0-address": "0.0.0.0", "bindings-0-port": "1110"}
    assert browser.post(page_of(row), form).status_code == 302
    assert [str(binding) for binding in row.bindings.all()] == ["0.0.0.0:1110"]
    assert current_revision() > before
    assert LogEntry.objects.filter(object_id=str(row.pk)).exists()


def test_bindings_are_added_and_removed(browser: Client, administrator: User) -> None:
    row = service(ServiceKind.POP3)
    form = {
        **form_of(browser, row),
        "bindings-TOTAL_FORMS": "2",
        "bindings-0-DELETE": "on",
        "bindings-1-address": "::1",
        "bindings-1-port": "1110",
        "bindings-1-service": str(row.pk),
    }
    assert browser.post(page_of(row), form).status_code == 302
    assert [str(binding) for binding in row.bindings.all()] == ["[::1]:1110"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bindings-0-port": "2025"}, "already"),
        ({"bindings-0-address": "0.0.0.0", "bindings-0-port": "2025"}, "already used by SMTP"),
        ({"bindings-0-port": "70000"}, "65535"),
        ({"bindings-0-address": "mail.example.com"}, "valid IPv4 or IPv6 address"),
        ({"max_failed_logins": "0"}, "smallest number allowed here is 1"),
        ({"idle_timeout_seconds": "3"}, "10"),
        ({"bandwidth": "pool"}, "Choose the pool"),
        ({"bandwidth": "custom", "bandwidth_bytes": "0"}, "how many bytes per second"),
        ({"name": "SMTP"}, "already exists"),
        ({"name": ""}, "required"),
    ],
)
def test_what_is_wrong_is_said(browser: Client, administrator: User, changes: dict[str, str], words: str) -> None:
    row, before = service(ServiceKind.POP3), current_revision()
    response = browser.post(page_of(row), {**form_of(browser, row), **changes})
    assert response.status_code == 200
    assert words in complaints(response)
    assert current_revision() == before


def test_an_address_of_no_interface_is_kept_with_a_warning(browser: Client, administrator: User) -> None:
    row = service(ServiceKind.POP3)
    form = {**form_of(browser, row), "bindings-0-address": "203.0.113.9"}
    assert "This machine has no address 203.0.113.9" in messages_of(browser.post(page_of(row), form, follow=True))
    assert [str(binding) for binding in row.bindings.all()] == ["203.0.113.9:2110"]


def test_a_pool_is_chosen_among_those_that_exist(browser: Client, administrator: User) -> None:
    set_pool(7, 100_000, "Uploads")
    row = service(ServiceKind.POP3)
    form = {**form_of(browser, row), "bandwidth": "pool", "bandwidth_pool": "7"}
    assert browser.post(page_of(row), form).status_code == 302
    row.refresh_from_db()
    assert (row.bandwidth, row.bandwidth_pool) == ("pool", 7)
    assert browser.post(page_of(row), {**form, "bandwidth_pool": "8"}).status_code == 200


def test_rules_are_saved_in_their_order_on_screen(browser: Client, administrator: User, anna: User) -> None:
    row = service(ServiceKind.SMTP)
    rule = {"matches": "network", "comment": "", "service": str(row.pk)}
    lines = [
        {**rule, "position": "1", "allow": "False", "network": "203.0.113.0/24", "comment": "Troublemakers"},
        {**rule, "position": "0", "allow": "True", "network": "192.168.1.77/24", "allow_unauthenticated": "on"},
        {**rule, "position": "9999", "allow": "True", "matches": "any", "network": "", "users": str(anna.pk)},
    ]
    form: dict[str, object] = {**form_of(browser, row), "access_rules-TOTAL_FORMS": "3"}
    form |= {f"access_rules-{number}-{name}": text for number, line in enumerate(lines) for name, text in line.items()}
    response = browser.post(page_of(row), form)
    assert response.status_code == 302, complaints(response)
    saved = [(str(rule), rule.allow_unauthenticated, list(rule.users.all())) for rule in row.access_rules.all()]
    assert saved == [
        ("allow 192.168.1.0/24", True, []),
        ("block 203.0.113.0/24", False, []),
        ("allow Any address", False, [anna]),
    ]


def test_a_wrong_rule_is_named_by_its_line(browser: Client, administrator: User) -> None:
    row = service(ServiceKind.SMTP)
    update_service(row.pk, access_rules=[AccessRuleInput(matches="local"), AccessRuleInput(network="10.0.0.0/8")])
    form = {**form_of(browser, row), "access_rules-1-network": "10.0.0.0/99"}
    response = browser.post(page_of(row), form)
    assert "Access rules: Line 2" in complaints(response)
    assert "10.0.0.0/99" in complaints(response)


def test_working_without_login_is_offered_only_where_mail_is_sent(browser: Client, administrator: User) -> None:
    update_service(service(ServiceKind.POP3).pk, access_rules=[AccessRuleInput(matches="local")])
    assert "allow_unauthenticated" not in browser.get(page_of(service(ServiceKind.POP3))).content.decode()
    assert "allow_unauthenticated" in browser.get(page_of(service(ServiceKind.SMTP))).content.decode()


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"access_rules-0-allow_unauthenticated": "on"}, True),
        ({}, False),
        ({"access_rules-0-allow": "False"}, False),
        ({"access_rules-0-matches": "local", "access_rules-0-allow_unauthenticated": "on"}, False),
        ({"access_rules-0-allow_unauthenticated": "on", "use_global_access": "on"}, False),
    ],
)
def test_an_open_relay_is_saved_with_a_warning(
    browser: Client, administrator: User, changes: dict[str, str], warned: bool
) -> None:
    set_global_access(lan_rules())
    row = service(ServiceKind.SMTP)
    update_service(row.pk, access_rules=[AccessRuleInput(matches="any")], fields={"use_global_access": False})
    response = browser.post(page_of(row), {**form_of(browser, row), **changes}, follow=True)
    assert ("lets strangers send mail to anybody" in messages_of(response)) == warned
    saved = row.access_rules.get()
    assert saved.allow_unauthenticated == ("access_rules-0-allow_unauthenticated" in changes)


def test_another_service_is_added_and_opens_its_own_page(browser: Client, administrator: User) -> None:
    form = {
        **read_form(browser, ADD, "service_form"),
        "service_kind": "pop3",
        "name": "POP3 for the branch",
        "bindings-TOTAL_FORMS": "1",
        "bindings-0-address": "127.0.0.1",
        "bindings-0-port": "1110",
    }
    response = browser.post(ADD, form)
    row = Service.objects.get(name="POP3 for the branch")
    assert response["Location"] == page_of(row)
    assert (row.kind, row.idle_timeout_seconds, str(row.bindings.get())) == ("pop3", 600, "127.0.0.1:1110")
    assert browser.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Service.objects.filter(pk=row.pk).exists()


def test_a_new_service_on_a_taken_port_is_refused(browser: Client, administrator: User) -> None:
    form = {
        **read_form(browser, ADD, "service_form"),
        "service_kind": "pop3",
        "name": "Second",
        "bindings-TOTAL_FORMS": "1",
        "bindings-0-address": "0.0.0.0",
        "bindings-0-port": "2110",
    }
    response = browser.post(ADD, form)
    assert "Where it listens: Port 2110 on 0.0.0.0 is already used by POP3" in complaints(response)
    assert Service.objects.count() == len(ServiceKind)


def test_the_last_of_a_kind_stays(browser: Client, administrator: User) -> None:
    row = service(ServiceKind.SMTP)
    response = browser.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}, follow=True)
    assert "Switch it off instead" in messages_of(response)


def test_the_list_says_where_each_listens(browser: Client, administrator: User) -> None:
    update_service(service(ServiceKind.POP3).pk, fields={"enabled": False})
    page = browser.get(LIST).content.decode()
    assert "127.0.0.1:2025" in page
    assert ">Off<" in page


def test_pools_are_added_changed_and_deleted(browser: Client, administrator: User) -> None:
    pools = "/admin/config/bandwidthpool/"
    browser.post(f"{pools}add/", {"number": "3", "name": "Line", "bytes_per_second": "50000"})
    assert BandwidthPool.objects.get(number=3).bytes_per_second == 50000
    browser.post(f"{pools}3/change/", {"name": "Line", "bytes_per_second": "60000"})
    assert BandwidthPool.objects.get(number=3).bytes_per_second == 60000
    assert "60,000 bytes per second" in browser.get(pools).content.decode()
    update_service(service(ServiceKind.SMTP).pk, fields={"bandwidth": "pool", "bandwidth_pool": 3})
    assert "1 service" in browser.get(pools).content.decode()
    assert "shared by SMTP" in messages_of(browser.post(f"{pools}3/delete/", {"post": "yes"}, follow=True))
    update_service(service(ServiceKind.SMTP).pk, fields={"bandwidth": "none"})
    browser.post(f"{pools}3/delete/", {"post": "yes"})
    assert not BandwidthPool.objects.exists()


@pytest.mark.parametrize("number", ["0", "1001", ""])
def test_a_pool_needs_a_number_that_exists(browser: Client, administrator: User, number: str) -> None:
    form = {"number": number, "name": "", "bytes_per_second": "1"}
    response = browser.post("/admin/config/bandwidthpool/add/", form)
    assert "number" in response.context["adminform"].form.errors
