# SPDX-License-Identifier: MIT
"""An installation just started, with alice beside its administrator."""

from __future__ import annotations

import pytest

from mailserver.config.services import first_run
from mailserver.project.environment import read_environment
from mailserver.users.services import User, create_user


@pytest.fixture
def installation(db: None) -> None:
    """What `manage.py run` makes at the first start."""
    first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))


@pytest.fixture
def alice(installation: None) -> User:
    return create_user("alice", "alice-secret-1", full_name="Alice Example")
