# SPDX-License-Identifier: MIT
"""An installation with a domain and an administrator, for the tests of this folder."""

from __future__ import annotations

import pytest

from mailserver.addressing.services import add_domain
from mailserver.users.services import User, create_user


@pytest.fixture
def postmaster(db: None) -> User:
    """The administrator of example.test."""
    add_domain("example.test")
    return create_user("postmaster", "postmaster-secret", is_admin=True)


@pytest.fixture
def alice(postmaster: User) -> User:
    """A user like any other."""
    return create_user("alice", "alice-secret-1", full_name="Alice Example")
