# SPDX-License-Identifier: MIT
"""One transaction with a server as it is: what it does not take as it stands is converted first.

RFC 6152 §3: a server that does not offer 8BITMIME gets no 8-bit bytes; a message that cannot be converted comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mailserver.mime.seven_bit import CannotConvert, make_seven_bit
from protocols.net.offload import Offload
from protocols.smtp.client import SmtpClient
from protocols.smtp.client_transaction import Delivery, Outcome, OutgoingMessage, Verdict
from protocols.smtp.client_wire import describe

PIECE_BYTES = 65536
CANNOT_CONVERT = "554 5.6.3 The server takes only 7-bit text, and the message cannot be converted: {reason}"

CANNOT_READ = "451 4.3.0 The stored message cannot be read here: {reason}"


async def transact(client: SmtpClient, message: OutgoingMessage, offload: Offload) -> Delivery:
    """A verdict for each recipient. Raises nothing that a server or the disk could cause."""
    if "8BITMIME" in client.extensions or not client.usable:
        return await client.send(message)
    try:
        converted = await offload(convert, message)
    except CannotConvert as error:
        verdict = Verdict(Outcome.REFUSED, CANNOT_CONVERT.format(reason=error), "5.6.3", remote=False)
    except OSError as error:
        verdict = Verdict(Outcome.DEFERRED, CANNOT_READ.format(reason=describe(error)), "4.3.0", remote=False)
    else:
        return await client.send(converted)
    return Delivery((verdict,) * len(message.recipients))


def convert(message: OutgoingMessage) -> OutgoingMessage:
    """The same in 7 bits, with its new size; itself when there is nothing to do. Raises CannotConvert, OSError.

    It is in memory until it is sent: few servers ask for this, and large parts are base64 already.
    """
    if all(piece.isascii() for piece in message.chunks()):
        return message
    converted = make_seven_bit(b"".join(message.chunks()))

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(converted), PIECE_BYTES):
            yield converted[start : start + PIECE_BYTES]

    return replace(message, size=len(converted), chunks=chunks, eight_bit=False)
