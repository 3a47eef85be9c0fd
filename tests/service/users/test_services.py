# SPDX-License-Identifier: MIT
"""Users: created with their mailboxes, changed, and deleted, never the last administrator."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from mailserver.addressing.services import add_domain
from mailserver.config.building import build_snapshot
from mailserver.config.services import current_revision, set_setting
from mailserver.errors import InvalidInput, Kind, MailError
from mailserver.store.models import Content, Entry, Mailbox
from mailserver.users.services import (
    NO_PASSWORD,
    User,
    create_user,
    delete_user,
    directory_users,
    find_user,
    get_user,
    set_password,
    update_user,
)
from mailserver.values import SPECIAL_MAILBOXES, Address, Protocol
from mailserver.work.models import WorkItem

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def file_message(user: User) -> None:
    """One message in the Inbox."""
    inbox = Mailbox.objects.get(user=user, special_use="inbox")
    content = Content.objects.create(ref="R", sha256="0" * 64, size=1, body=b"x", created=user.created)
    Entry.objects.create(
        mailbox=inbox, uid=1, modseq=2, size=1, internal_date=user.created, saved=user.created, content=content
    )
    Mailbox.objects.filter(pk=inbox.pk).update(messages=1, size=1, uid_next=2)


def test_a_new_user_has_every_special_mailbox(alice: User) -> None:
    names = set(Mailbox.objects.filter(user=alice).values_list("name", "special_use"))
    assert names == {(name, use.value) for name, use in SPECIAL_MAILBOXES}


def test_a_new_user_is_in_the_snapshot(alice: User) -> None:
    found = build_snapshot().directory.find(Address("Alice", "example.test"))
    assert found is not None
    assert found.id == alice.pk
    assert found.protocols == frozenset(Protocol)
    assert found.inbox == Mailbox.objects.get(user=alice, special_use="inbox").pk


def test_names_are_lower_case_and_may_be_typed_as_an_address(postmaster: User) -> None:
    assert create_user(" Bob ", "bob-secret-22").address == "bob@example.test"
    assert create_user("Carol@EXAMPLE.test", "carol-secret-3").address == "carol@example.test"


@pytest.mark.parametrize(
    ("name", "password", "fields", "places"),
    [
        ("", "alice-secret-1", {}, {"name"}),
        ("a b", "alice-secret-1", {}, {"name"}),
        ("x" * 33, "alice-secret-1", {}, {"name"}),
        ("ünal", "alice-secret-1", {}, {"name"}),
        ("bob", "short", {}, {"password"}),
        ("a b", "short", {}, {"name", "password"}),
        ("bob", "bob-secret-22", {"domain": "elsewhere.example"}, {"domain"}),
        ("bob@elsewhere.example", "bob-secret-22", {}, {"domain"}),
        ("bob", "bob-secret-22", {"allowed_protocols": ["smtp", "telepathy"]}, {"allowed_protocols"}),
        ("bob", "bob-secret-22", {"max_outgoing_bytes": -1}, {"max_outgoing_bytes"}),
        ("bob", "bob-secret-22", {"full_name": "x" * 201}, {"full_name"}),
        ("bob", "bob-secret-22", {"wizard": True}, {"wizard"}),
        ("postmaster", "another-secret", {}, {"name"}),
    ],
)
def test_what_is_wrong_is_said_by_field(
    postmaster: User, name: str, password: str, fields: dict[str, Any], places: set[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        create_user(name, password, **fields)
    assert set(caught.value.messages) == places
    assert User.objects.count() == 1


def test_the_same_name_in_two_domains(alice: User) -> None:
    add_domain("second.example")
    other = create_user("alice", "another-secret", domain="second.example")
    assert find_user("alice") == alice
    assert find_user("alice@second.example") == other
    directory = build_snapshot().directory
    assert (directory.find_login("ALICE"), directory.find_login("alice@second.example")) == (
        directory.users[alice.pk],
        directory.users[other.pk],
    )


def test_users_of_an_internationalised_domain_are_found_in_both_spellings(postmaster: User) -> None:
    add_domain("bücher.example")
    user = create_user("bob", "bob-secret-22", domain="bücher.example")
    assert user.address == "bob@xn--bcher-kva.example"
    assert find_user("bob@BÜCHER.example") == user == find_user("bob@xn--bcher-kva.example")


def test_the_minimum_length_is_the_settings(postmaster: User) -> None:
    set_setting("security.min_password_length", 20)
    with pytest.raises(InvalidInput, match="at least 20"):
        create_user("bob", "bob-secret-22")


def test_a_changed_password_changes_everything_that_is_stored(alice: User) -> None:
    before = get_user(alice.pk)
    set_password(alice.pk, "alice-secret-2")
    after = get_user(alice.pk)
    assert after.password != before.password
    assert after.scram_verifier != before.scram_verifier


def test_a_weak_new_password_changes_nothing(alice: User) -> None:
    before = get_user(alice.pk).password
    with pytest.raises(InvalidInput):
        set_password(alice.pk, "alice")
    assert get_user(alice.pk).password == before


def test_a_recoverable_password_is_kept_from_the_next_one_on_and_goes_with_the_permission(alice: User) -> None:
    update_user(alice.pk, keep_recoverable=True)
    assert get_user(alice.pk).recoverable_secret is None
    set_password(alice.pk, "alice-secret-2")
    assert get_user(alice.pk).recoverable_secret is not None
    update_user(alice.pk, keep_recoverable=False)
    assert get_user(alice.pk).recoverable_secret is None


@pytest.mark.parametrize("fields", [{"name": "al"}, {"address": "x@y"}, {"password": "x"}, {"pk": 3}])
def test_some_things_are_not_changed_this_way(alice: User, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        update_user(alice.pk, **fields)


@pytest.mark.parametrize("fields", [{"is_admin": False}, {"is_active": False}, {"allowed_protocols": ["smtp"]}])
def test_the_last_administrator_stays(postmaster: User, alice: User, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="last administrator"):
        update_user(postmaster.pk, **fields)
    update_user(alice.pk, is_admin=True)
    update_user(postmaster.pk, **fields)


def test_an_administrator_who_cannot_log_in_is_no_replacement(postmaster: User, alice: User) -> None:
    update_user(alice.pk, is_admin=True, allowed_protocols=["pop3"])
    with pytest.raises(InvalidInput, match="last administrator"):
        update_user(postmaster.pk, is_admin=False)


def test_the_last_administrator_cannot_be_deleted(postmaster: User) -> None:
    with pytest.raises(InvalidInput, match="last administrator"):
        delete_user(postmaster.pk)


def test_the_main_administrator_cannot_be_deleted(postmaster: User, alice: User) -> None:
    update_user(alice.pk, is_admin=True)
    with pytest.raises(InvalidInput, match="main administrator"):
        delete_user(postmaster.pk)
    set_setting("mail.main_administrator", "alice")
    delete_user(postmaster.pk)
    assert find_user("postmaster") is None


def test_a_namesake_of_the_main_administrator_can_be_deleted(postmaster: User) -> None:
    add_domain("second.example")
    other = create_user("postmaster", "another-secret", domain="second.example")
    delete_user(other.pk)
    assert find_user("postmaster") == postmaster


def test_messages_are_deleted_only_by_force(alice: User) -> None:
    file_message(alice)
    with pytest.raises(InvalidInput, match="still has a message"):
        delete_user(alice.pk)
    assert Mailbox.objects.filter(user=alice).exists()
    delete_user(alice.pk, force=True)
    assert not Mailbox.objects.filter(user_id=alice.pk).exists()
    assert not Entry.objects.exists()


def test_somebody_who_is_gone(postmaster: User) -> None:
    for call in (lambda: update_user(4711), lambda: delete_user(4711), lambda: set_password(4711, "some-secret")):
        with pytest.raises(MailError) as caught:
            call()
        assert caught.value.kind is Kind.NOT_FOUND


def test_each_change_that_daemons_must_see_raises_the_revision(alice: User) -> None:
    numbers = [current_revision()]
    update_user(alice.pk, may_send_out=False)
    numbers.append(current_revision())
    delete_user(alice.pk)
    numbers.append(current_revision())
    assert numbers == sorted(set(numbers))


def test_a_creation_that_is_rolled_back_leaves_nothing(postmaster: User) -> None:
    revision = current_revision()

    def create_and_fail() -> None:
        with transaction.atomic():
            create_user("bob", "bob-secret-22", send_welcome=True)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        create_and_fail()
    assert find_user("bob") is None
    assert current_revision() == revision
    assert not WorkItem.objects.exists()


def test_the_directory_takes_one_query(alice: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert [user.name for user in directory_users()] == ["postmaster", "alice"]


def test_a_user_without_an_inbox_is_a_fault_that_is_named(alice: User) -> None:
    Mailbox.objects.filter(user=alice).delete()
    with pytest.raises(MailError, match=r"alice@example\.test has no Inbox"):
        directory_users()


def test_a_user_may_have_no_password_at_all(postmaster: User) -> None:
    assert not create_user("bob", NO_PASSWORD).has_usable_password()
