# SPDX-License-Identifier: MIT
"""doctor, on access rules that let strangers send to anybody."""

from __future__ import annotations

import pytest

from mailserver.config import services
from mailserver.config.models import Service
from mailserver.config.services import AccessRuleInput
from mailserver.management import diagnosis
from mailserver.management.diagnosis import Level

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation")]

ANYBODY = AccessRuleInput(matches="any", allow_unauthenticated=True)
OFFICE = AccessRuleInput(network="192.168.1.0/24", allow_unauthenticated=True)
HALF_THE_INTERNET = AccessRuleInput(network="128.0.0.0/1", allow_unauthenticated=True)
ALL_OF_IPV6 = AccessRuleInput(network="::/0", allow_unauthenticated=True)
EVERYBODY_WITH_A_LOGIN = AccessRuleInput(matches="any")
OUTSIDERS_BLOCKED = AccessRuleInput(matches="any", allow=False)


def use(*rules: AccessRuleInput, **fields: object) -> None:
    service = Service.objects.get(name="SMTP")
    services.update_service(service.pk, access_rules=rules, fields=fields)


@pytest.mark.parametrize("rule", [ANYBODY, HALF_THE_INTERNET, ALL_OF_IPV6])
def test_strangers_who_need_no_login_are_a_problem(rule: AccessRuleInput) -> None:
    use(OFFICE, rule)
    (finding,) = diagnosis.check_relay()
    assert finding.level is Level.PROBLEM
    assert "SMTP" in finding.text
    assert "spam" in finding.text


@pytest.mark.parametrize(
    "rules", [(), (OFFICE,), (OFFICE, EVERYBODY_WITH_A_LOGIN), (EVERYBODY_WITH_A_LOGIN, ANYBODY), (OUTSIDERS_BLOCKED,)]
)
def test_rules_under_which_strangers_must_log_in(rules: tuple[AccessRuleInput, ...]) -> None:
    use(*rules)
    (finding,) = diagnosis.check_relay()
    assert finding.level is Level.GOOD


def test_strangers_whom_the_global_list_keeps_out() -> None:
    services.set_global_access([OFFICE])
    use(ANYBODY, use_global_access=True)
    (finding,) = diagnosis.check_relay()
    assert finding.level is Level.GOOD


def test_service_that_is_switched_off_relays_nothing() -> None:
    use(ANYBODY, enabled=False)
    (finding,) = diagnosis.check_relay()
    assert finding.level is Level.GOOD
