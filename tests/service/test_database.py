# SPDX-License-Identifier: MIT
"""The database under test is the one that was asked for, set up as design section 2 says."""

from __future__ import annotations

import os

import pytest
from django.db import connection

from tests.support.postgres import NAMED_BY, OLDEST_VERSION

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def _value(statement: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    return row[0] if row else None


def test_the_run_uses_the_database_it_names() -> None:
    assert connection.vendor == ("postgresql" if NAMED_BY in os.environ else "sqlite")


def test_it_is_set_up_for_several_processes() -> None:
    if connection.vendor == "sqlite":
        assert _value("PRAGMA journal_mode") == "wal"
        assert _value("PRAGMA foreign_keys") == 1
    else:
        assert int(str(_value("SHOW server_version_num"))) >= OLDEST_VERSION
