# SPDX-License-Identifier: MIT
"""The stores that the contract suite runs over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.store.memory import MemoryStore
from mailserver.values import UserId
from tests.contract.world import World
from tests.support.stores import make_process, make_user, open_database_store

DATABASE = pytest.param("database", marks=[pytest.mark.django_db(transaction=True), pytest.mark.database])


@pytest.fixture(params=["memory", DATABASE])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        memory = MemoryStore(tmp_path / "spool")
        numbers = iter(range(1, 100))

        def new_user() -> UserId:
            user = UserId(next(numbers))
            memory.add_user(user)
            return user

        yield World(memory, new_user(), new_user)
        return
    request.getfixturevalue("transactional_db")
    store = open_database_store(tmp_path, make_process())
    yield World(store, make_user(), make_user)
    store.close()
