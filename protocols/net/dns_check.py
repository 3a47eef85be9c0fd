# SPDX-License-Identifier: MIT
"""Whether DNS servers answer as they should: the questions of *Test* buttons, and how each went. Spec senders 9."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from protocols.net.dns import LookupFailed, NoSuchName, Resolver

DOES_NOT_EXIST = "this-name-does-not-exist.example.com"


@dataclass(frozen=True, slots=True)
class Answered:
    """One question, what came of it in words, and how long that took."""

    question: str
    ok: bool
    text: str
    milliseconds: int

    def __str__(self) -> str:
        return f"{self.question}: {self.text} ({self.milliseconds} ms)"


async def try_resolver(resolver: Resolver, exists: str, does_not_exist: str = DOES_NOT_EXIST) -> tuple[Answered, ...]:
    """Mail servers and addresses of a name that exists; and one that does not: some servers invent answers there.

    All at the same time: of a server that is silent each question takes its whole patience.
    """
    questions = (
        _try(f"Mail servers of {exists}", _find_mail_servers(resolver, exists)),
        _try(f"Addresses of {exists}", _find_addresses(resolver, exists)),
        _try(f"A name that does not exist, {does_not_exist}", _find_nothing(resolver, does_not_exist)),
    )
    return tuple(await asyncio.gather(*questions))


async def _try(question: str, look: Awaitable[tuple[bool, str]]) -> Answered:
    started = time.monotonic()
    try:
        ok, text = await look
    except NoSuchName:
        ok, text = False, "this name does not exist"
    except LookupFailed as error:
        ok, text = False, str(error).removesuffix(".")
    return Answered(question, ok, text, round((time.monotonic() - started) * 1000))


async def _find_mail_servers(resolver: Resolver, name: str) -> tuple[bool, str]:
    servers = sorted(await resolver.find_mail_servers(name, fresh=True), key=lambda server: server.preference)
    return True, ", ".join(f"{server.host} ({server.preference})" for server in servers) or "none"


async def _find_addresses(resolver: Resolver, name: str) -> tuple[bool, str]:
    return True, ", ".join(await resolver.find_addresses(name, fresh=True)) or "none"


async def _find_nothing(resolver: Resolver, name: str) -> tuple[bool, str]:
    try:
        addresses = await resolver.find_addresses(name, fresh=True)
    except NoSuchName:
        addresses = ()
    if addresses:
        return False, f"the server invents an answer ({', '.join(addresses)})"
    return True, "not found, as it should be"
