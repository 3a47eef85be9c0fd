# SPDX-License-Identifier: MIT
"""The rows that many tests begin with, made once in each process and then copied within the database.

An installation's first start is a hundred statements through the ORM; half of the time of the tests with a database
went there. The rows are made by the product's own functions, kept in tables beside, and put in with one statement
for each table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connection, transaction

from tests.support.commits import KEPT, all_tables, delete_all_rows

T = TypeVar("T")


class Baseline(Generic[T]):
    """What `make` puts into an empty database, and what it returned. Made outside of any test's transaction."""

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self.made = make()
        self._statements = []
        with connection.cursor() as cursor:
            for table in all_tables():
                if table in KEPT:
                    continue
                cursor.execute(f"SELECT 1 FROM {_quoted(table)} LIMIT 1")
                if cursor.fetchone():
                    kept = _quoted(f"kept_{name}_{table}")
                    cursor.execute(f"CREATE TABLE {kept} AS SELECT * FROM {_quoted(table)}")
                    self._statements.append(f"INSERT INTO {_quoted(table)} SELECT * FROM {kept}")
        delete_all_rows()

    def put_in(self) -> T:
        """All at once: foreign keys are checked at the end of the transaction, so the order does not matter."""
        with transaction.atomic(), connection.cursor() as cursor:
            together = connection.vendor == "postgresql"
            for statement in ["; ".join(self._statements)] if together else self._statements:
                cursor.execute(statement)
        return self.made


def _quoted(table: str) -> str:
    return connection.ops.quote_name(table)
