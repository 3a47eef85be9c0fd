# SPDX-License-Identifier: MIT
"""LAN forwarding on screen: its rules, and its own queue."""

from __future__ import annotations

import pytest
from django.test import Client

from mailserver.lan.models import LanForwardingRule
from mailserver.lan.services import RuleInput, save_rule
from mailserver.outqueue.models import QueuedRecipient
from tests.support.queueing import make_queued, row

pytestmark = [pytest.mark.django_db, pytest.mark.database]
RULES, QUEUE = "/admin/lan/lanforwardingrule/", "/admin/outqueue/lanqueuedrecipient/"
FORM = {
    "addresses": "*@branch.test\n~@office.test",
    "server": "10.0.0.5",
    "port": "587",
    "username": "office",
    "new_password": "s3cret-word",
    "rewrite": "*@inner.test",
    "condition": "all",
    "position": "10",
    "comment": "the branch",
}


def test_a_rule_is_made_changed_and_deleted(browser: Client) -> None:
    assert browser.post(f"{RULES}add/", FORM).status_code == 302
    rule = LanForwardingRule.objects.get()
    assert (rule.addresses, rule.server, rule.port) == ("*@branch.test\n~@office.test", "10.0.0.5", 587)
    assert rule.secret is not None
    assert b"s3cret" not in bytes(rule.secret)
    page = browser.get(f"{RULES}{rule.pk}/change/").content.decode()
    assert "s3cret" not in page
    changed = {**FORM, "new_password": "", "server": "10.0.0.6"}
    assert browser.post(f"{RULES}{rule.pk}/change/", changed).status_code == 302
    again = LanForwardingRule.objects.get()
    assert (again.server, again.secret) == ("10.0.0.6", rule.secret)
    assert "10.0.0.6" in browser.get(RULES).content.decode()
    assert browser.post(f"{RULES}{rule.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not LanForwardingRule.objects.exists()


def test_what_is_wrong_is_said_at_its_field(browser: Client) -> None:
    page = browser.post(f"{RULES}add/", {**FORM, "addresses": "robot", "port": "465"}).content.decode()
    assert "has no domain" in page
    assert "Encryption from the first byte" in page
    assert not LanForwardingRule.objects.exists()


def test_the_queue_has_its_own_page_and_its_actions(browser: Client) -> None:
    (waiting,) = make_queued("ann@branch.test", route="lan", lan_server="10.0.0.5:25")
    make_queued("somebody@outside.test")
    rule = save_rule(RuleInput("*@branch.test", "10.0.0.9", 26))
    page = browser.get(QUEUE).content.decode()
    assert "ann@branch.test" in page
    assert "10.0.0.5:25" in page
    assert "somebody@outside.test" not in page
    assert "Send to 10.0.0.9:26 instead" in page
    form = {"action": f"send_to_{rule.pk}", "_selected_action": [waiting], "post": "yes"}
    assert browser.post(QUEUE, form).status_code == 302
    assert row(waiting).lan_server == "10.0.0.9:26"
    hold = {"action": "hold_selected", "_selected_action": [waiting], "post": "yes"}
    assert browser.post(QUEUE, hold).status_code == 302
    assert row(waiting).status == QueuedRecipient.Status.HELD
