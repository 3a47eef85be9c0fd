# SPDX-License-Identifier: MIT
"""An installation after its first start, and browsers in front of its console."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import DjangoDbBlocker

from admin_ui.middleware import StaticFiles
from mailserver.config.catalog import SETUP_DONE
from mailserver.config.first_run import first_run
from mailserver.config.services import set_setting
from mailserver.users.models import User
from mailserver.users.passwords import Secrets, make_secrets
from mailserver.users.services import create_user, find_user, set_password
from tests.support.baseline import Baseline

PASSWORD = "three-odd-words"


@pytest.fixture(scope="session", autouse=True)
def static_files_are_looked_up_once() -> Iterator[None]:
    """Each browser makes the console anew, which would search the folders of every application each time."""
    search = StaticFiles.add_files_from_finders
    found: dict[str, object] = {}

    def add_files(console: StaticFiles) -> None:
        if not found:
            search(console)
            found.update(console.files)
        console.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFiles, "add_files_from_finders", add_files)
        yield


@pytest.fixture(scope="session")
def secrets() -> Secrets:
    """What is stored of PASSWORD: hashing it takes longer than most of these tests."""
    return make_secrets(PASSWORD)


@pytest.fixture(scope="session")
def office(django_db_setup: None, django_db_blocker: DjangoDbBlocker, secrets: Secrets) -> Baseline[None]:
    """The rows of a fresh installation, whose set-up page has been worked through."""

    def make() -> None:
        first_run(settings.ENVIRONMENT)
        user = find_user("postmaster")
        assert user is not None
        set_password(user.pk, secrets)
        set_setting(SETUP_DONE.name, "domain users arrival sending test")

    with django_db_blocker.unblock():
        return Baseline("console", make)


@pytest.fixture
def administrator(office: Baseline[None], db: None) -> User:
    """Of a fresh installation."""
    office.put_in()
    user = find_user("postmaster")
    assert user is not None
    return user


@pytest.fixture
def browser(administrator: User) -> Client:
    """Logged in as the administrator."""
    client = Client()
    client.force_login(administrator)
    return client


@pytest.fixture
def anna(administrator: User, secrets: Secrets) -> User:
    """Somebody who only has mail."""
    return create_user("anna", secrets, full_name="Anna Smith")
