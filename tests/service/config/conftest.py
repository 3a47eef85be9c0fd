# SPDX-License-Identifier: MIT
"""An installation as the first start leaves it, for the tests that want one."""

from __future__ import annotations

import pytest
from pytest_django import DjangoDbBlocker

from mailserver.config.services import FirstRun, first_run
from mailserver.project.environment import read_environment
from tests.support.baseline import Baseline


@pytest.fixture(scope="session")
def first_start(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Baseline[FirstRun]:
    def make() -> FirstRun:
        made = first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))
        assert made is not None
        return made

    with django_db_blocker.unblock():
        return Baseline("config", make)


@pytest.fixture
def installation(first_start: Baseline[FirstRun], db: None) -> FirstRun:
    """Domain example.test, every service at the usual ports of a trial, the administrator postmaster."""
    return first_start.put_in()
