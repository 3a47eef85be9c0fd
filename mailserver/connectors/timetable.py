# SPDX-License-Identifier: MIT
"""Making, changing and removing schedule items (spec connectors 3.2, 3.3). What they mean is in `schedule.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction

from mailserver.connectors.changes import changeable, changed, set_fields
from mailserver.connectors.checking import Problems, check_item, clean
from mailserver.connectors.models import Connection, ScheduleItem
from mailserver.errors import InvalidInput, Kind, MailError

ITEM_FIELDS = changeable(ScheduleItem)
NOTHING_CHOSEN = "Choose at least one Connection, or 'Default connections'."


def create_item(fields: Mapping[str, object] | None = None, connections: Sequence[int] = ()) -> int:
    """A schedule item; gives its number. Which Connections it runs must be said, unless it denies."""
    with transaction.atomic():
        item = ScheduleItem()
        _change(item, fields or {})
        _link(item, connections)
    return item.pk


def update_item(
    item_id: int, fields: Mapping[str, object] | None = None, connections: Sequence[int] | None = None
) -> None:
    """Change what is named; `connections` are all that it runs from now on."""
    with transaction.atomic():
        item = ScheduleItem.objects.select_for_update().filter(pk=item_id).first()
        if item is None:
            raise MailError(Kind.NOT_FOUND, f"no schedule item {item_id}")
        item.untouched = False
        _change(item, fields or {})
        if connections is not None:
            _link(item, connections)


def delete_items(item_ids: Sequence[int]) -> int:
    """Says how many there were."""
    with transaction.atomic():
        deleted = ScheduleItem.objects.filter(pk__in=list(item_ids)).delete()[1]
        changed()
    return deleted.get(ScheduleItem._meta.label, 0)


def forget_untouched_items() -> None:
    """What the first start made gives way to somebody's own timetable, when nobody has changed it."""
    ScheduleItem.objects.filter(untouched=True).delete()


def _change(item: ScheduleItem, fields: Mapping[str, object]) -> None:
    problems: Problems = set_fields(item, fields, ITEM_FIELDS)
    item.days = "".join(sorted(set(str(item.days))))
    problems |= clean(item) or check_item(item)
    if problems:
        raise InvalidInput(problems)
    item.save()
    changed()


def _link(item: ScheduleItem, connections: Sequence[int]) -> None:
    known = set(Connection.objects.filter(pk__in=connections).values_list("pk", flat=True))
    missing = [str(number) for number in connections if number not in known]
    if missing:
        raise InvalidInput({"connections": [f"There is no Connection {', '.join(missing)}."]})
    if not (known or item.to_default or item.deny):
        raise InvalidInput({"connections": [NOTHING_CHOSEN]})
    item.connections.set(known)
