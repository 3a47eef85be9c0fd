# SPDX-License-Identifier: MIT
"""Making, changing and removing Connections, each with its Sender (spec connectors 1 and 2, senders 2 to 4, 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from django.db import transaction

from mailserver.connectors import sealing
from mailserver.connectors.changes import changeable, changed, set_fields
from mailserver.connectors.checking import Problems, check_sender, check_servers, clean
from mailserver.connectors.models import Collector, Connection, RelayServer, ScheduleItem, Sender
from mailserver.connectors.runs import find_running
from mailserver.connectors.serverlines import ServerInput
from mailserver.connectors.values import MAX_CONNECTIONS
from mailserver.errors import InvalidInput, Kind, MailError

CONNECTION_FIELDS = frozenset({"name", "is_default"})
SENDER_FIELDS = changeable(Sender, "connection")
"""What may be changed of a Sender; its password goes by the name `password`, and an empty one takes it away."""

FIRST_NAME = "Internet"
FIRST_ITEM_NAME = "Every ten minutes"

NO_ROOM = f"There are {MAX_CONNECTIONS} Connections already; more there cannot be. Change one of them, or delete one."
LAST_ONE = (
    "This is the only Connection. Without one nothing would be sent or collected: change it, or make another first."
)


def create_connection(
    fields: Mapping[str, object] | None = None,
    *,
    sender: Mapping[str, object] | None = None,
    servers: Sequence[ServerInput] = (),
    collectors: Sequence[int] = (),
) -> int:
    """A Connection with its Sender; gives its number. Without a name it gets one, and the first becomes a default one.

    Problems of the Sender are reported under their fields' own names.
    """
    with transaction.atomic():
        # Locked in one order, so that two who add at once cannot make eleven.
        present = list(Connection.objects.select_for_update().order_by("pk"))
        if len(present) >= MAX_CONNECTIONS:
            raise InvalidInput({"": [NO_ROOM]})
        connection = Connection(name=_free_name(present), is_default=not present)
        made = Sender(connection=connection)
        _change(connection, made, fields or {}, sender or {}, servers)
        if collectors:
            _link(connection, collectors)
    return connection.pk


def update_connection(
    connection_id: int,
    fields: Mapping[str, object] | None = None,
    *,
    sender: Mapping[str, object] | None = None,
    servers: Sequence[ServerInput] | None = None,
    collectors: Sequence[int] | None = None,
) -> None:
    """Change what is named, and the whole of each list that is given."""
    with transaction.atomic():
        connection = _lock(connection_id)
        connection.untouched = False
        _change(connection, connection.sender, fields or {}, sender or {}, servers)
        if collectors is not None:
            _link(connection, collectors)


def delete_connection(connection_id: int) -> list[str]:
    """Its Sender, its history and its links go with it; gives names of what is now linked to no Connection.

    Raises InvalidInput for the last one, and while it runs.
    """
    with transaction.atomic():
        connection = _lock(connection_id)
        if not Connection.objects.exclude(pk=connection_id).exists():
            raise InvalidInput({"": [LAST_ONE]})
        if any(run.connection == connection_id for run in find_running()):
            raise InvalidInput({"": [f"{connection} is running. Stop it first, or wait until it has ended."]})
        links: list[Collector | ScheduleItem] = [*connection.collectors.all(), *connection.schedule_items.all()]
        connection.delete()
        unlinked = [row for row in links if not _is_linked(row)]
        for row in unlinked:
            if isinstance(row, ScheduleItem) and row.deny:  # Naming nobody, it would deny all.
                ScheduleItem.objects.filter(pk=row.pk).update(enabled=False)
        changed()
        return [str(row) for row in unlinked]


def ensure_first_connection() -> None:
    """What a new installation starts with: mail leaves at once, as soon as somebody names a relay."""
    if Connection.objects.exists():
        return
    with transaction.atomic():
        connection = Connection.objects.create(name=FIRST_NAME, is_default=True, untouched=True)
        Sender.objects.create(connection=connection, send_immediately=True)
        if not ScheduleItem.objects.exists():
            ScheduleItem.objects.create(name=FIRST_ITEM_NAME, to_default=True, untouched=True)


def forget_untouched_connection(wanted: Collection[str] = ()) -> None:
    """What the first start made gives way to what somebody brings, unless it was changed, or is among the `wanted`.

    The caller makes another one in the same transaction.
    """
    Connection.objects.filter(untouched=True).exclude(name__in=list(wanted)).delete()
    changed()


def _change(
    connection: Connection,
    sender: Sender,
    fields: Mapping[str, object],
    sender_fields: Mapping[str, object],
    servers: Sequence[ServerInput] | None,
) -> None:
    problems: Problems = set_fields(connection, fields, CONNECTION_FIELDS)
    problems |= set_fields(sender, sender_fields, SENDER_FIELDS, sealing.SENDER_PASSWORD)
    connection.name = str(connection.name).strip()
    problems |= clean(connection)
    if not problems:
        connection.save()
        sender.connection = connection
        problems |= clean(sender) or check_sender(sender)
    if servers is not None:
        problems |= check_servers(servers)
    if problems:
        raise InvalidInput(problems)
    sender.save()
    if servers is not None:
        _replace_servers(sender, servers)
    changed()


def _replace_servers(sender: Sender, servers: Sequence[ServerInput]) -> None:
    sender.servers.all().delete()
    RelayServer.objects.bulk_create(
        RelayServer(
            sender=sender,
            position=position,
            host=server.host.strip(),
            port=server.port,
            encryption=server.encryption,
        )
        for position, server in enumerate(servers)
    )


def _link(connection: Connection, collectors: Sequence[int]) -> None:
    known = set(Collector.objects.filter(pk__in=collectors).values_list("pk", flat=True))
    missing = [str(number) for number in collectors if number not in known]
    if missing:
        raise InvalidInput({"collectors": [f"There is no Collector {', '.join(missing)}."]})
    connection.collectors.set(known)
    changed()


def _lock(connection_id: int) -> Connection:
    connection = Connection.objects.select_for_update().filter(pk=connection_id).first()
    if connection is None:
        raise MailError(Kind.NOT_FOUND, f"no Connection {connection_id}")
    return connection


def _free_name(present: Sequence[Connection]) -> str:
    """Spec connectors 2.1."""
    names = {row.name for row in present}
    return next(name for number in range(1, 99) if (name := f"Connection {number}") not in names)


def _is_linked(row: Collector | ScheduleItem) -> bool:
    return (isinstance(row, ScheduleItem) and row.to_default) or row.connections.exists()
