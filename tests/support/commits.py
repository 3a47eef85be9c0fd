# SPDX-License-Identifier: MIT
"""Emptying the tables after a test whose transactions were really committed (`django_db(transaction=True)`).

Django does it by TRUNCATE and then makes its content types anew: half a second on PostgreSQL. A test leaves few rows,
and deleting those takes milliseconds.
"""

from __future__ import annotations

from functools import cache

from django.db import connection, transaction
from django.test import TransactionTestCase

KEPT = ("django_content_type", "django_migrations", "auth_permission")
"""What migrating has put there."""


def empty_tables_by_deleting() -> None:
    """Have every transactional test of this run do so."""
    TransactionTestCase._fixture_teardown = lambda _case: delete_all_rows()  # type: ignore[method-assign]


def delete_all_rows() -> None:
    """In one transaction, at whose end foreign keys are checked: so the order does not matter."""
    emptied = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in all_tables() if table not in KEPT]
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in ["; ".join(emptied)] if connection.vendor == "postgresql" else emptied:
            cursor.execute(statement)


@cache
def all_tables() -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)
