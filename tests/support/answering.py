# SPDX-License-Identifier: MIT
"""A user answers the question whether a large message shall be fetched (spec connectors 4.7)."""

from __future__ import annotations

from email import message_from_bytes

from mailserver import clock
from mailserver.addressing.resolve import Answer, resolve
from mailserver.journey.records import next_ref
from mailserver.mime.headers import summarise
from mailserver.pipeline.filing import build_unit
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin
from mailserver.values import Address, Body, Client, Envelope, Protocol, Recipient
from tests.support.collecting import CollectingOffice
from workers.work import do_due


def answer(office: CollectingOffice, user: str, **fields: str) -> None:
    """What a mail program sends when its user answers the question, through the server's own pipeline."""
    question = message_from_bytes(office.messages(user)[0])
    address = str(question["Reply-To"])
    local, _, domain = address.partition("@")
    header = "".join(f"{name}: {value}\r\n" for name, value in {"To": address, "Subject": "Re:", **fields}.items())
    data = f"{header}\r\nYes please.\r\n".encode()
    target = resolve(Address(local, domain), office.tools.snapshot())
    assert isinstance(target, Answer)
    message = IncomingMessage(
        next_ref(),
        clock.now(),
        Origin("smtp", Client(Protocol.SMTP, 1, 1, "127.0.0.1", 40000), login=f"{user}@example.test"),
        Envelope(Address(user, "example.test")),
        (Delivery(Recipient(Address(local, domain)), target),),
        Body(len(data), "0" * 64, data),
        header.encode(),
        summarise(header.encode()),
    )
    office.store.submit(build_unit(message, "mail.example.test")).result(10)
    do_due()
