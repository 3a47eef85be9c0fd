# SPDX-License-Identifier: MIT
"""Settings, services, access rules and pools: changed whole, refused in plain words, seen in the snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from mailserver.addressing.services import add_domain
from mailserver.config import services
from mailserver.config.building import build_snapshot
from mailserver.config.catalog import HOSTNAME, MAX_HOPS, MAX_RECIPIENTS, ServiceKind
from mailserver.config.models import AccessRule, Revision, StoredSetting
from mailserver.config.models import Service as ServiceRow
from mailserver.config.services import AccessRuleInput, Binding
from mailserver.config.snapshot import Service
from mailserver.errors import InvalidInput, Kind, MailError
from mailserver.notices import SETTINGS
from mailserver.users.services import create_user, find_user

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation")]


def service(name: str = "SMTP") -> Service:
    return next(service for service in build_snapshot().services if service.name == name)


class TestSettings:
    """General settings."""

    def test_set_and_reset(self) -> None:
        services.set_setting("mail.max_hops", "45")
        assert build_snapshot().get(MAX_HOPS) == 45
        services.reset_setting("mail.max_hops")
        assert build_snapshot().get(MAX_HOPS) == 30
        assert not StoredSetting.objects.filter(name="mail.max_hops").exists()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("no.such.setting", 1),
            ("mail.max_hops", 4),
            ("mail.max_hops", "many"),
            ("mail.max_hops", True),
            ("server.time_zone", "Mars/Olympus"),
            ("server.hostname", "not a name"),
            ("server.hostname", "x" * 300),
            ("server.listen", "localhost"),
            ("mail.default_domain", "elsewhere.example"),
            ("mail.default_domain", "not a domain"),
            ("mail.main_administrator", "nobody"),
        ],
    )
    def test_what_cannot_be(self, name: str, value: object) -> None:
        with pytest.raises(InvalidInput) as caught:
            services.set_setting(name, value)
        assert list(caught.value.messages) == [name]

    def test_all_or_none(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            services.set_settings({"mail.max_hops": 45, "journey.keep_days": 0, "log.max_kilobytes": 1})
        assert set(caught.value.messages) == {"journey.keep_days", "log.max_kilobytes"}
        assert build_snapshot().get(MAX_HOPS) == 30

    def test_the_default_domain_is_stored_in_its_one_spelling(self) -> None:
        add_domain("bücher.example")
        services.set_setting("mail.default_domain", "BÜCHER.example")
        assert services.read_settings()["mail.default_domain"] == "xn--bcher-kva.example"

    def test_the_host_name_is_that_of_the_snapshot(self) -> None:
        services.set_setting(HOSTNAME.name, "mail.example.test")
        assert build_snapshot().hostname == "mail.example.test"
        services.reset_setting(HOSTNAME.name)
        assert build_snapshot().hostname

    def test_a_change_is_announced_after_the_commit(
        self, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
    ) -> None:
        heard: list[str] = []
        monkeypatch.setattr("mailserver.notices.publish", heard.extend)
        with django_capture_on_commit_callbacks(execute=True):
            before = services.current_revision()
            services.set_setting("mail.max_hops", 45)
            assert heard == []
        assert heard == [SETTINGS]
        assert services.current_revision() == before + 1

    def test_the_first_change_ever_has_a_revision_too(self) -> None:
        Revision.objects.all().delete()
        assert services.current_revision() == 0
        services.touch_revision()
        assert services.current_revision() > 0


class TestService:
    """Services and their bindings."""

    def test_everything_reaches_the_snapshot(self) -> None:
        services.set_pool(7, 50_000, "Evening")
        services.update_service(
            service().id,
            fields={
                "name": "Incoming",
                "encryption": "tls",
                "require_encrypted_login": False,
                "use_global_access": True,
                "bandwidth": "pool",
                "bandwidth_pool": 7,
                "max_sessions": 12,
                "max_sessions_per_address": 3,
                "idle_timeout_seconds": 60,
                "log_sessions": True,
            },
            options={"max_recipients": "25"},
            bindings=[Binding("::1", 2526), Binding("127.0.0.1", 2525)],
        )
        found = service("Incoming")
        assert set(found.bindings) == {Binding("127.0.0.1", 2525), Binding("::1", 2526)}
        assert (found.encryption, found.require_encrypted_login, found.use_global_access) == ("tls", False, True)
        assert (found.max_sessions, found.max_sessions_per_address, found.idle_timeout_seconds) == (12, 3, 60)
        assert (found.bandwidth, found.log_sessions, found.get(MAX_RECIPIENTS)) == (-7, True, 25)
        assert build_snapshot().pools == {7: 50_000}

    def test_a_limit_of_each_connection(self) -> None:
        services.update_service(service().id, fields={"bandwidth": "custom", "bandwidth_bytes": 9000})
        assert service().bandwidth == 9000
        services.update_service(service().id, fields={"bandwidth": "none"})
        assert service().bandwidth == 0

    def test_what_is_not_named_stays(self) -> None:
        services.update_service(service().id, options={"max_recipients": 25})
        before = service()
        services.update_service(before.id, options={"max_errors": 5}, fields={"max_sessions": 9})
        after = service()
        assert after.options == {"max_recipients": 25, "max_errors": 5}
        assert after.bindings == before.bindings

    @pytest.mark.parametrize(
        ("change", "places"),
        [
            ({"fields": {"name": ""}}, {"name"}),
            ({"fields": {"name": "POP3"}}, {"name"}),
            ({"fields": {"encryption": "rot13"}}, {"encryption"}),
            ({"fields": {"idle_timeout_seconds": 1}}, {"idle_timeout_seconds"}),
            ({"fields": {"max_sessions": "many"}}, {"max_sessions"}),
            ({"fields": {"max_sessions": -1}}, {"max_sessions"}),
            ({"fields": {"kind": "pop3"}}, {"kind"}),
            ({"fields": {"bandwidth": "custom"}}, {"bandwidth_bytes"}),
            ({"fields": {"bandwidth": "pool"}}, {"bandwidth_pool"}),
            ({"fields": {"bandwidth": "pool", "bandwidth_pool": 1001}}, {"bandwidth_pool"}),
            ({"options": {"max_recipients": -1}}, {"max_recipients"}),
            ({"options": {"offer_apop": True}}, {"offer_apop"}),
            ({"options": {"authentication": "perhaps"}}, {"authentication"}),
            ({"options": {"max_recipients": -1}, "fields": {"name": ""}}, {"max_recipients", "name"}),
            ({"bindings": [Binding("127.0.0.1", 0)]}, {"bindings"}),
            ({"bindings": [Binding("127.0.0.1", 70000)]}, {"bindings"}),
            ({"bindings": [Binding("everywhere", 25)]}, {"bindings"}),
            ({"bindings": [Binding("127.0.0.1", 2110)]}, {"bindings"}),
            ({"bindings": [Binding("0.0.0.0", 2110)]}, {"bindings"}),
            ({"bindings": [Binding("127.0.0.1", 2525), Binding("127.0.0.1", 2525)]}, {"bindings"}),
            ({"bindings": [Binding("127.0.0.1", 2525), Binding("0.0.0.0", 2525)]}, {"bindings"}),
        ],
    )
    def test_what_cannot_be(self, change: dict[str, Any], places: set[str]) -> None:
        before = build_snapshot()
        with pytest.raises(InvalidInput) as caught:
            services.update_service(service().id, **change)
        assert set(caught.value.messages) == places
        assert build_snapshot().services == before.services
        assert build_snapshot().revision == before.revision

    def test_the_same_port_in_both_families(self) -> None:
        services.update_service(service().id, bindings=[Binding("0.0.0.0", 2525), Binding("::", 2525)])
        assert len(service().bindings) == 2

    def test_addresses_have_one_spelling(self) -> None:
        services.update_service(service().id, bindings=[Binding("0:0::1", 2525)])
        assert service().bindings == (Binding("::1", 2525),)

    def test_a_service_keeps_its_own_port(self) -> None:
        before = service()
        services.update_service(before.id, bindings=before.bindings)
        assert service().bindings == before.bindings

    def test_a_second_service_of_a_kind_can_come_and_go(self) -> None:
        made = services.create_service(ServiceKind.SUBMISSION, bindings=[Binding("127.0.0.1", 2600)])
        assert service("Submission 2").options["authentication"] == "required"
        services.delete_service(made)
        with pytest.raises(InvalidInput, match="only service of its kind"):
            services.delete_service(service().id)

    def test_a_service_that_is_gone(self) -> None:
        for call in (lambda: services.update_service(4711), lambda: services.delete_service(4711)):
            with pytest.raises(MailError) as caught:
                call()
            assert caught.value.kind is Kind.NOT_FOUND

    def test_a_kind_of_another_version_is_left_out(self) -> None:
        ServiceRow.objects.filter(name="POP3").update(kind="gopher")
        assert "POP3" not in [found.name for found in build_snapshot().services]


class TestAccess:
    """Access lists."""

    def test_a_list_keeps_its_order_and_its_users(self) -> None:
        alice = create_user("alice", "alice-secret-1")
        rules = [
            AccessRuleInput(allow=False, network="192.0.2.77"),
            AccessRuleInput(network="192.0.2.1/24", users=(alice.pk,), allow_unauthenticated=True, comment="LAN"),
            AccessRuleInput(matches="routers"),
        ]
        services.update_service(service().id, access_rules=rules)
        block, allow, routers = service().access
        assert (block.allow, str(block.network)) == (False, "192.0.2.77/32")
        assert (str(allow.network), allow.users, allow.allow_unauthenticated) == (
            "192.0.2.0/24",
            frozenset({alice.pk}),
            True,
        )
        assert (routers.matches, routers.network, routers.users) == ("routers", None, None)
        services.update_service(service().id, access_rules=[])
        assert service().access == ()
        assert not AccessRule.objects.exists()

    def test_the_global_list(self) -> None:
        services.set_global_access(services.lan_rules())
        snapshot = build_snapshot()
        assert [rule.matches for rule in snapshot.global_access] == ["local"]
        assert all(found.access == () for found in snapshot.services)

    @pytest.mark.parametrize(
        "rule",
        [
            AccessRuleInput(network=""),
            AccessRuleInput(network="10.0.0.0/99"),
            AccessRuleInput(network="example.com"),
            AccessRuleInput(matches="any", network="10.0.0.0/8"),
            AccessRuleInput(matches="geoip", network=""),
            AccessRuleInput(matches="any", users=(4711,)),
            AccessRuleInput(matches="any", allow=False, allow_unauthenticated=True),
        ],
    )
    def test_what_cannot_be(self, rule: AccessRuleInput) -> None:
        for change in (
            lambda: services.update_service(service().id, access_rules=[AccessRuleInput(matches="any"), rule]),
            lambda: services.set_global_access([AccessRuleInput(matches="any"), rule]),
        ):
            with pytest.raises(InvalidInput) as caught:
                change()
            assert all(text.startswith("Line 2:") for text in caught.value.messages["access_rules"])
        assert not AccessRule.objects.exists()

    def test_a_rule_whose_only_user_is_deleted_must_not_admit_everybody(self) -> None:
        from mailserver.users.services import delete_user

        alice = create_user("alice", "alice-secret-1")
        services.update_service(service().id, access_rules=[AccessRuleInput(matches="any", users=(alice.pk,))])
        with pytest.raises(InvalidInput, match="access rule"):
            delete_user(alice.pk)
        assert find_user("alice") is not None


class TestPools:
    """Bandwidth pools."""

    def test_set_and_delete(self) -> None:
        services.set_pool(3, 1000)
        services.set_pool(3, 2000, "Slow")
        assert build_snapshot().pools == {3: 2000}
        services.delete_pool(3)
        assert build_snapshot().pools == {}

    @pytest.mark.parametrize(
        ("number", "rate", "place"), [(0, 1, "number"), (1001, 1, "number"), (1, -1, "bytes_per_second")]
    )
    def test_what_cannot_be(self, number: int, rate: int, place: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            services.set_pool(number, rate)
        assert set(caught.value.messages) == {place}

    def test_a_pool_in_use_stays(self) -> None:
        services.set_pool(3, 1000)
        services.update_service(service().id, fields={"bandwidth": "pool", "bandwidth_pool": 3})
        with pytest.raises(InvalidInput, match="shared by SMTP"):
            services.delete_pool(3)
