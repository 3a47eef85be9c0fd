# SPDX-License-Identifier: MIT
"""The pages for general settings, the certificate and the rules for all services."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.test import Client

from mailserver.config.catalog import (
    GENERAL,
    HOSTNAME,
    LISTEN_ADDRESS,
    MAIN_ADMINISTRATOR,
    MAX_HOPS,
    PORT_OFFSET,
    SETUP_DONE,
    WELCOME_TEXT,
)
from mailserver.config.models import AccessRule, Service
from mailserver.config.services import (
    AccessRuleInput,
    current_certificate,
    current_revision,
    get_setting,
    read_settings,
    set_global_access,
    set_setting,
    set_settings,
    update_service,
)
from mailserver.connectors.remote_tests import finish_test, take_test
from mailserver.users.models import User
from mailserver.users.passwords import Secrets
from mailserver.users.services import create_user, delete_user
from tests.service.console.forms import messages_of, read_form
from tests.support.certificates import make_certificate

pytestmark = [pytest.mark.django_db, pytest.mark.database]
SETTINGS, CERTIFICATE, ACCESS = "/admin/settings/", "/admin/certificate/", "/admin/access/"
DNS_TEST = "/admin/settings/dns-test/"


def errors_of(response: object) -> dict[str, list[str]]:
    return dict(response.context["form"].errors)  # type: ignore[attr-defined]


def test_every_general_setting_is_on_the_page(browser: Client) -> None:
    page = browser.get(SETTINGS).content.decode()
    for setting in GENERAL:
        assert setting.label in page


def test_saving_unchanged_settings_changes_nothing(browser: Client) -> None:
    set_setting(WELCOME_TEXT.name, "Hello {name}\n\nbye")
    before = read_settings()
    assert browser.post(SETTINGS, read_form(browser, SETTINGS, "settings-form")).status_code == 302
    after = read_settings()
    assert after.pop(WELCOME_TEXT.name).split() == before.pop(WELCOME_TEXT.name).split()
    assert after == before


def test_a_setting_is_saved(browser: Client) -> None:
    before = current_revision()
    form = {**read_form(browser, SETTINGS, "settings-form"), "server__hostname": "mail.office.example"}
    assert "in force" in messages_of(browser.post(SETTINGS, form, follow=True))
    assert get_setting(HOSTNAME) == "mail.office.example"
    assert current_revision() > before


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mail__max_hops", "4", "smallest number allowed here is 5"),
        ("mail__max_hops", "many", "whole number"),
        ("server__hostname", "not a name", "is not a host name"),
        ("mail__default_domain", "elsewhere.example", "is not a local domain"),
        ("mail__main_administrator", "nobody", "There is no user nobody"),
        ("server__listen", "here", "is not an IP address"),
    ],
)
def test_a_wrong_setting_saves_none_of_them(browser: Client, field: str, value: str, words: str) -> None:
    before = read_settings()
    form = {**read_form(browser, SETTINGS, "settings-form"), "journey__keep_days": "99", field: value}
    response = browser.post(SETTINGS, form)
    assert words in " ".join(errors_of(response)[field])
    assert read_settings() == before


def test_defaults_are_restored_but_for_what_the_first_start_recorded(browser: Client) -> None:
    set_setting(MAX_HOPS.name, 77)
    set_setting(PORT_OFFSET.name, 3000)
    browser.post(SETTINGS, {"restore": ""})
    assert get_setting(MAX_HOPS) == MAX_HOPS.default
    assert get_setting(PORT_OFFSET) == 3000
    assert LISTEN_ADDRESS.label in browser.get(SETTINGS).content.decode()


def test_what_the_console_notes_for_itself_is_not_among_the_settings(browser: Client) -> None:
    assert SETUP_DONE.label not in browser.get(SETTINGS).content.decode()
    browser.post(SETTINGS, {"restore": ""})
    assert get_setting(SETUP_DONE)


def test_defaults_that_make_no_sense_any_more_are_not_restored(browser: Client, secrets: Secrets) -> None:
    create_user("chief", secrets, is_admin=True)
    set_settings({MAIN_ADMINISTRATOR.name: "chief", MAX_HOPS.name: 77})
    delete_user(User.objects.get(name="postmaster").pk)
    browser.force_login(User.objects.get(name="chief"))
    assert "There is no user postmaster" in messages_of(browser.post(SETTINGS, {"restore": ""}, follow=True))
    assert get_setting(MAX_HOPS) == 77


def test_a_certificate_is_checked_and_put_to_use(browser: Client) -> None:
    chain, key = make_certificate()
    response = browser.post(CERTIFICATE, {"chain_pem": chain, "key_pem": key}, follow=True)
    assert "is in use for every connection" in messages_of(response)
    page = response.content.decode()
    assert "localhost" in page
    assert "pb-tone-bad" in page, "it runs out tomorrow, and the page says so"
    assert "PRIVATE KEY" not in page.replace("-----BEGIN PRIVATE KEY-----", ""), "the key is never shown"
    assert key.splitlines()[1] not in page


def test_a_key_of_another_certificate_is_refused(browser: Client) -> None:
    before = current_certificate()
    chain, _ = make_certificate()
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    response = browser.post(CERTIFICATE, {"chain_pem": chain, "key_pem": other.decode()})
    assert "does not belong to the first certificate" in " ".join(errors_of(response)["key_pem"])
    assert current_certificate() == before


@pytest.mark.parametrize("chain", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(browser: Client, chain: str) -> None:
    response = browser.post(CERTIFICATE, {"chain_pem": chain, "key_pem": make_certificate()[1]})
    assert "chain_pem" in errors_of(response)


def test_a_self_signed_certificate_is_made_for_a_name(browser: Client) -> None:
    browser.post(CERTIFICATE, {"self_signed": "", "hostname": "mail.office.example"})
    facts = current_certificate()
    assert facts is not None
    assert "mail.office.example" in facts.names
    assert "signed it itself" in browser.get(CERTIFICATE).content.decode()


@pytest.mark.parametrize("hostname", ["", "bücher", "two words", "x" * 300])
def test_a_certificate_needs_a_host_name(browser: Client, hostname: str) -> None:
    before = current_certificate()
    response = browser.post(CERTIFICATE, {"self_signed": "", "hostname": hostname}, follow=True)
    assert "Write the host name" in messages_of(response)
    assert current_certificate() == before


def stored_rules() -> list[str]:
    return [str(rule) for rule in AccessRule.objects.filter(service=None)]


def access_form(browser: Client) -> dict[str, list[str]]:
    return read_form(browser, ACCESS, "access-form")


def test_rules_for_all_services_are_added_in_their_order(browser: Client, anna: User) -> None:
    set_global_access([AccessRuleInput(network="10.0.0.0/8")])
    changes: dict[str, object] = {
        "rules-1-position": "5",
        "rules-1-allow": "False",
        "rules-1-network": "10.66.0.0/16",
        "rules-1-comment": "Guests",
        "rules-2-matches": "local",
        "rules-2-users": str(anna.pk),
    }
    response = browser.post(ACCESS, {**access_form(browser), **changes})
    assert response.status_code == 302
    assert stored_rules() == ["block 10.66.0.0/16", "allow 10.0.0.0/8", "allow Local networks"]
    assert list(AccessRule.objects.get(matches="local").users.all()) == [anna]


def test_saving_unchanged_rules_changes_nothing(browser: Client, anna: User) -> None:
    rules = [AccessRuleInput(matches="local", users=(anna.pk,)), AccessRuleInput(allow=False, network="10.0.0.0/8")]
    set_global_access(rules)
    before = stored_rules()
    assert browser.post(ACCESS, access_form(browser)).status_code == 302
    assert stored_rules() == before
    assert list(AccessRule.objects.get(matches="local").users.all()) == [anna]


def test_a_rule_is_removed(browser: Client) -> None:
    set_global_access([AccessRuleInput(matches="local"), AccessRuleInput(allow=False, network="10.0.0.0/8")])
    browser.post(ACCESS, {**access_form(browser), "rules-0-DELETE": "on"})
    assert stored_rules() == ["block 10.0.0.0/8"]


def test_a_wrong_rule_is_named(browser: Client) -> None:
    set_global_access([AccessRuleInput(matches="local")])
    response = browser.post(ACCESS, {**access_form(browser), "rules-1-network": "10.0.0.0/99"})
    assert response.status_code == 200
    assert "10.0.0.0/99" in " ".join(response.context["problems"])
    assert stored_rules() == ["allow Local networks"]


def test_the_local_networks_are_allowed_with_one_button(browser: Client) -> None:
    set_global_access([AccessRuleInput(network="10.0.0.0/8")])
    browser.post(ACCESS, {**access_form(browser), "lan": ""})
    assert stored_rules() == ["allow Local networks"]


def test_the_page_names_the_services_that_use_the_rules(browser: Client) -> None:
    assert "at present for none" in browser.get(ACCESS).content.decode()
    update_service(Service.objects.get(name="POP3S").pk, fields={"use_global_access": True})
    assert "POP3S" in browser.get(ACCESS).content.decode()


def test_the_dns_servers_can_be_tried(browser: Client) -> None:
    page = browser.get(SETTINGS).content.decode()
    assert f'href="{DNS_TEST}"' in page
    answer = browser.post(DNS_TEST, {"name": "example.net"})
    taken = take_test()
    assert taken is not None
    assert taken.dns_name == "example.net"
    assert answer["Location"] == f"{DNS_TEST}?test={taken.id}&name=example.net"
    finish_test(taken.id, False, "Not every DNS server answers as it should.", "DNS server 192.0.2.1")
    page = browser.get(answer["Location"]).content.decode()
    assert "Not every DNS server answers as it should." in page
    assert 'value="example.net"' in page
    assert "Write a name that exists" in browser.post(DNS_TEST, {"name": "no name"}, follow=True).content.decode()
