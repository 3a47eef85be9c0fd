# SPDX-License-Identifier: MIT
"""The store's few statements that are carried out hundreds of times a second, made once.

To put a query together anew costs the ORM some 600 microseconds, to carry it out takes SQLite 20 (measured on a slow
machine): a daemon spent nine tenths of its time so. Tables and columns still come from the models, and what is rare
stays with the ORM. Rows are as the driver gives them: see `read_json` and `read_time`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Model

from mailserver.store.chunks import in_chunks
from mailserver.store.models import Content, Entry, Expunged, Mailbox, MailboxAccess, Subscription

Row = tuple[Any, ...]

MOST_PAIRS = 256
"""In one statement; each is two parameters, of which SQLite takes 999."""


class Select:
    """SELECT of some columns of a model where a condition holds.

    In the condition `{name}` is a column, `%s` a parameter, and `{among}` the list that `read_among` is given.
    """

    def __init__(
        self, model: type[Model], columns: Sequence[str], where: str, order_by: str = "", *, locked: bool = False
    ) -> None:
        self._model = model
        self._columns = columns
        self._where = where
        self._order_by = order_by
        self._locked = locked
        self._texts: dict[tuple[str, int, int], str] = {}

    def read(self, *parameters: Any) -> list[Row]:
        return self._execute(self._text(0, 1), parameters)

    def read_among(self, keys: Sequence[Any], *parameters: Any) -> list[Row]:
        """For these keys, however many; parameters that stand before the list come last here."""
        found: list[Row] = []
        for chunk in in_chunks(keys):
            padded = [*chunk, *[chunk[-1]] * (_round_up(len(chunk)) - len(chunk))]
            found += self._execute(self._text(len(padded), 1), [*parameters, *padded])
        return found

    def read_among_pairs(self, pairs: Sequence[tuple[Any, Any]]) -> list[Row]:
        """For keys of two columns: where the condition holds for one of the pairs, which are its parameters.

        Written out with OR, for SQLite would read the whole table for a list of pairs.
        """
        found: list[Row] = []
        for chunk in in_chunks(pairs, MOST_PAIRS):
            padded = [*chunk, *[chunk[-1]] * (_round_up(len(chunk)) - len(chunk))]
            found += self._execute(self._text(0, len(padded)), [value for pair in padded for value in pair])
        return found

    def _execute(self, text: str, parameters: Sequence[Any]) -> list[Row]:
        with connection.cursor() as cursor:
            cursor.execute(text, parameters)
            rows: list[Row] = cursor.fetchall()
            return rows

    def _text(self, among: int, times: int) -> str:
        """With a list of so many, the condition so many times over."""
        key = (connection.vendor, among, times)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._make(among, times)
        return text

    def _make(self, among: int, times: int) -> str:
        quote, meta = connection.ops.quote_name, self._model._meta
        named = {field.name: quote(str(field.column)) for field in meta.concrete_fields}
        named |= {field.attname: quote(str(field.column)) for field in meta.concrete_fields}
        named["among"] = f"({', '.join(['%s'] * among)})"
        columns = ", ".join(named[column] for column in self._columns)
        where = " OR ".join([f"({self._where.format_map(named)})"] * times)
        text = f"SELECT {columns} FROM {quote(meta.db_table)} WHERE {where}"  # noqa: S608
        if self._order_by:
            text += f" ORDER BY {named[self._order_by]}"
        if self._locked and connection.features.has_select_for_update:
            text += " FOR NO KEY UPDATE"
        return text


def _round_up(size: int) -> int:
    """To a power of two, so that there are few different statements; what is added is asked for twice."""
    return 1 << (size - 1).bit_length()


def read_json(value: Any) -> Any:
    """A JSON column as the driver gives it."""
    return json.loads(value) if isinstance(value, str | bytes) else value


def read_time(value: datetime) -> datetime:
    """SQLite keeps no zone: what is stored there is UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


# ---------------------------------------------------------------- mailboxes

_COUNTERS = ("messages", "unseen", "deleted", "size")
_MAILBOX = ("id", "user_id", "name", "special_use", "uid_validity", "uid_next", "modseq")
MAILBOXES_LOCKED = Select(
    Mailbox, ("id", "uid_validity", "uid_next", "modseq", *_COUNTERS), "{id} IN {among}", "id", locked=True
)
MAILBOX_NUMBERS = Select(Mailbox, ("modseq", "uid_next"), "{id} = %s")
MAILBOX_BY_ID = Select(Mailbox, _MAILBOX, "{id} = %s")
MAILBOX_OF_USER = Select(Mailbox, _MAILBOX, "{user} = %s AND {name} = %s")
MAILBOX_OF_NOBODY = Select(Mailbox, _MAILBOX, "{user} IS NULL AND {name} = %s")
COUNTS = Select(Mailbox, ("id", *_COUNTERS), "{id} IN {among}")
PICTURED_OF_USER = Select(Mailbox, (*_MAILBOX, *_COUNTERS), "{user} = %s")
PICTURED_OF_NOBODY = Select(Mailbox, (*_MAILBOX, *_COUNTERS), "{user} IS NULL")
PICTURED = Select(Mailbox, (*_MAILBOX, *_COUNTERS), "{id} IN {among}")
ACCESS = Select(MailboxAccess, ("mailbox_id", "user_id", "rights", "negative"), "{mailbox} IN {among}")
CONCERNED = Select(MailboxAccess, ("mailbox_id",), "{user} = %s OR {user} IS NULL")
SUBSCRIPTIONS = Select(Subscription, ("name",), "{user} = %s")

# ---------------------------------------------------------------- entries

_ENTRY = ("uid", "modseq", "flags", "size", "internal_date", "saved", "content_id")
UIDS_GONE = Select(Expunged, ("uid",), "{mailbox} = %s AND {modseq} > %s", "uid")
ENTRIES_BETWEEN = Select(Entry, (*_ENTRY, "id"), "{mailbox} = %s AND NOT {held} AND {uid} BETWEEN %s AND %s")
ENTRIES_AMONG = Select(Entry, (*_ENTRY, "id"), "{mailbox} = %s AND NOT {held} AND {uid} IN {among}")
ENTRIES_OF_PAIRS = Select(Entry, ("mailbox_id", *_ENTRY, "id"), "{mailbox} = %s AND {uid} = %s AND NOT {held}")

# ---------------------------------------------------------------- contents

CONTENTS = Select(
    Content, ("id", "ref", "head", "return_path_size", "size", "body", "blob", "fields"), "{id} IN {among}"
)
FIELDS = Select(Content, ("id", "fields"), "{id} IN {among}")
REFS = Select(Content, ("id", "ref"), "{id} IN {among}")
ENVELOPES = Select(Content, ("id", "envelope"), "{id} IN {among} AND {envelope} IS NOT NULL")
STRUCTURES = Select(Content, ("id", "envelope", "structure"), "{id} IN {among} AND {structure} IS NOT NULL")
PREVIEWS = Select(Content, ("id", "preview"), "{id} IN {among} AND {preview} IS NOT NULL")
