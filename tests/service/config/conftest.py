# SPDX-License-Identifier: MIT
"""An installation as the first start leaves it, for the tests that want one."""

from __future__ import annotations

import pytest

from mailserver.config.services import FirstRun, first_run
from mailserver.project.environment import read_environment


@pytest.fixture
def installation(db: None) -> FirstRun:
    """Domain example.test, every service at the usual ports of a trial, the administrator postmaster."""
    made = first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))
    assert made is not None
    return made
