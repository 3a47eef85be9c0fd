# SPDX-License-Identifier: MIT
"""A started installation, its tools, and an office in which nothing goes over the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailserver.config.services import first_run
from mailserver.connectors.models import Connection
from mailserver.project.environment import read_environment
from tests.support.performing import Office, real_tools
from workers.keeping import ending
from workers.tools import WorkerTools


@pytest.fixture
def internet(transactional_db: None) -> Connection:
    """The Connection of a new installation, whose administrator is postmaster@example.test."""
    first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))
    return Connection.objects.get()


@pytest.fixture
def tools(internet: Connection) -> Iterator[WorkerTools]:
    with real_tools() as made:
        yield made
    ending.clear()


@pytest.fixture
def office() -> Office:
    return Office()
