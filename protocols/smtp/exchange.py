# SPDX-License-Identifier: MIT
"""One AUTH exchange on the wire: base64, challenges, and the ways in which it breaks off.

RFC 4954 §4. Leaves the mechanisms to `protocols.sasl`, and what comes of it to `server.py`.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable

from protocols.sasl.login import Failure, Login, Success
from protocols.sasl.mechanisms import Challenge
from protocols.smtp import replies
from protocols.smtp.grammar import GrammarError, Wrong


class ExchangeBroken(Exception):
    """It ended before there was an outcome: the client cancelled, or sent something that is no response."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


async def run_exchange(
    login: Login, mechanism: str, initial: str, ask: Callable[[bytes], Awaitable[bytes]]
) -> Success | Failure:
    """The outcome of the exchange. `initial` is what stood behind the mechanism; `ask` sends a challenge and gives
    the line that answers it. Raises ExchangeBroken."""
    outcome = await login.begin(mechanism, _decode(initial) if initial else None)
    while isinstance(outcome, Challenge):
        outcome = await login.answer(await _next_response(ask, replies.challenge(outcome.data)))
    return outcome


async def _next_response(ask: Callable[[bytes], Awaitable[bytes]], challenge: bytes) -> bytes:
    try:
        line = await ask(challenge)
    except GrammarError as error:
        too_long = error.wrong is Wrong.LINE_LENGTH
        reply = replies.LOGIN_LINE_TOO_LONG if too_long else replies.misunderstood(error)
        raise ExchangeBroken(reply) from error
    if line == b"*":
        raise ExchangeBroken(replies.LOGIN_CANCELLED)
    return _decode(line.decode("latin-1"))


def _decode(text: str) -> bytes:
    """Base64; `=` alone stands for an empty initial response."""
    if text == "=":
        return b""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ExchangeBroken(replies.NOT_BASE64) from None
