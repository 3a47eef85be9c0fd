# SPDX-License-Identifier: MIT
"""What is done about a server without 8BITMIME before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from mailserver.values import Address
from protocols.net.offload import DirectOffload
from protocols.smtp.client import SmtpClient
from protocols.smtp.client_grammar import NO_EXTENSIONS, Extensions, OutgoingRecipient
from protocols.smtp.client_transaction import Delivery, Outcome, OutgoingMessage, Verdict
from workers.sending.transacting import PIECE_BYTES, convert, transact

TO = (OutgoingRecipient(Address("a", "x.test")), OutgoingRecipient(Address("b", "x.test")))


def make_message(data: bytes) -> OutgoingMessage:
    return OutgoingMessage(None, TO, len(data), lambda: iter([data]), eight_bit=True)


@dataclass
class Client:
    """Keeps what it is to send."""

    extensions: Extensions = NO_EXTENSIONS
    usable: bool = True
    sent: list[OutgoingMessage] = field(default_factory=list)

    async def send(self, message: OutgoingMessage) -> Delivery:
        self.sent.append(message)
        return Delivery((Verdict(Outcome.SENT, "250"),) * len(message.recipients))


async def deliver(client: Client, message: OutgoingMessage) -> Delivery:
    return await transact(cast(SmtpClient, client), message, DirectOffload())


@pytest.mark.parametrize(
    ("client", "data"),
    [
        (Client(Extensions({"8BITMIME": ""})), b"\r\n\xff"),
        (Client(), b"\r\nplain"),
        (Client(usable=False), b"\r\n\xff"),
    ],
)
async def test_nothing_is_done_where_nothing_has_to_be(client: Client, data: bytes) -> None:
    message = make_message(data)
    await deliver(client, message)
    assert client.sent == [message]


async def test_the_converted_message_has_its_own_size() -> None:
    client = Client()
    await deliver(client, make_message(b"\r\n" + b"\xff" * PIECE_BYTES))
    (sent,) = client.sent
    pieces = list(sent.chunks())
    assert sum(map(len, pieces)) == sent.size > 3 * PIECE_BYTES
    assert max(map(len, pieces)) == PIECE_BYTES
    assert b"".join(pieces).isascii()
    assert not sent.eight_bit


def test_a_message_in_order_is_not_copied() -> None:
    message = make_message(b"A: b\r\n\r\nplain\r\n")
    assert convert(message) is message


async def test_a_disk_that_fails_defers() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"\r\n\xff"
        raise OSError(5, "Input/output error")

    client = Client()
    delivery = await deliver(client, OutgoingMessage(None, TO, 3, chunks))
    assert [verdict.outcome for verdict in delivery.verdicts] == [Outcome.DEFERRED] * 2
    assert "cannot be read here: Input/output error" in delivery.verdicts[0].text
    assert not client.sent
