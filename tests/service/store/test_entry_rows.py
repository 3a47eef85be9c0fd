# SPDX-License-Identifier: MIT
"""Entries read by columns: right whatever the order in which SQLite joins them."""

from __future__ import annotations

import pytest

from mailserver.store import entry_rows
from mailserver.store.entry_rows import read_table
from mailserver.store.opening import open_store
from mailserver.values import Uid
from tests.support.filings import WAIT_SECONDS, make_unit
from tests.support.stores import make_user

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("transactional_db", "data_folder"),
]


def test_columns_in_another_order_are_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may join a column's values in any order; that one it will not tell is told by the UIDs."""
    store = open_store()
    inbox = store.get_mailbox(make_user(), "INBOX").id
    store.submit(make_unit(inbox, count=5)).result(WAIT_SECONDS)
    expected = store.list_entries(inbox)
    read_rows, asked = entry_rows._read_rows, []

    def backwards(rows: str, parameters: list[object]) -> object:
        joined = rows.replace("ORDER BY uid", "ORDER BY uid DESC")
        return read_joined(joined, parameters)

    def noted(rows: str, parameters: list[object]) -> object:
        asked.append(rows)
        return read_rows(rows.replace("uid DESC", "uid"), parameters)

    read_joined = entry_rows._read_joined
    monkeypatch.setattr(entry_rows, "_read_joined", backwards)
    monkeypatch.setattr(entry_rows, "_read_rows", noted)
    table = read_table(inbox)
    store.close()
    assert list(table) == expected
    assert [entry.uid for entry in expected] == [Uid(uid) for uid in range(1, 6)]
    assert len(asked) == 1
