# SPDX-License-Identifier: MIT
"""Messages in the outgoing queue, and Senders that may send them, for tests with a database."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from mailserver import clock
from mailserver.connectors.models import Connection, Sender
from mailserver.connectors.values import SenderSettings, SendMethod
from mailserver.journey.records import next_ref
from mailserver.leases import services as leases
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.taking import sender_lease
from mailserver.store.models import Content

_numbers = itertools.count(1)
MESSAGE = b"From: Alice <alice@example.test>\r\nTo: x@remote.example\r\nSubject: Hello\r\n\r\nHello there\r\n"


def make_queued(*recipients: str, data: bytes = MESSAGE, **columns: Any) -> list[int]:
    """A message to these; gives the numbers of its rows. `columns` are set in all of them."""
    ref = columns.pop("ref", None) or next_ref()
    size = columns.pop("size", len(data))
    content = Content.objects.create(ref=ref, sha256="0" * 64, size=size, body=data, created=clock.now())
    columns = {"reverse_path": "alice@example.test", "queued": clock.now(), "subject": "Hello", **columns}
    return [
        QueuedRecipient.objects.create(
            ref=ref,
            content=content,
            recipient=recipient,
            domain=recipient.rpartition("@")[2],
            size=size,
            **columns,
        ).pk
        for recipient in recipients or ["x@remote.example"]
    ]


def row(id_: int) -> QueuedRecipient:
    return QueuedRecipient.objects.get(pk=id_)


def make_sender(*, default: bool = False, **settings: Any) -> SenderSettings:
    """A Connection with its Sender; what is not told has its default."""
    columns = {
        name: value for name, value in settings.items() if name in ("domain_filter", "enabled", "send_immediately")
    }
    columns = {"send_immediately": True, **columns}
    connection = Connection.objects.create(name=f"Connection {next(_numbers)}", is_default=default)
    sender = Sender.objects.create(connection=connection, **columns)
    plain = SenderSettings(
        id=sender.pk,
        name=connection.name,
        connection=connection.pk,
        connection_name=connection.name,
        default=default,
        enabled=sender.enabled,
        method=SendMethod.RELAY,
        send_immediately=True,
    )
    return replace(plain, **settings)


def lease_sender(sender: SenderSettings, owner: str = "me") -> str:
    """The lease that whoever takes messages must hold."""
    assert leases.acquire(sender_lease(sender.id), owner, 300)
    return owner
