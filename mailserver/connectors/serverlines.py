# SPDX-License-Identifier: MIT
"""A relay's list of servers as people write it: one a line, `host[:port] [encryption]` (spec senders 3). Pure.

IPv6 addresses stand in square brackets, as in addresses of the web. Whether a host can be one is checked elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from mailserver.connectors.values import Encryption
from mailserver.errors import InvalidInput

DEFAULT_PORT = 25
_LINE = re.compile(r"(?P<host>\[[^\]\s]+\]|[^\s:]+)(?::(?P<port>\d{1,5}))?(?:\s+(?P<encryption>\S+))?")


class Server(Protocol):
    """What `format_servers` needs to know of one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def encryption(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ServerInput:
    """A line of a relay's list of servers, as somebody gives it."""

    host: str
    port: int = DEFAULT_PORT
    encryption: str = Encryption.OPPORTUNISTIC.value


def parse_servers(text: str, encryption: str) -> list[ServerInput]:
    """The servers in their order; `encryption` is for lines that name none. Raises InvalidInput for wrong lines."""
    servers, wrong = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        word = (found["encryption"] or encryption).lower() if found else ""
        if found is None:
            wrong.append(f"Line {number}: write a server's name, then perhaps a colon and the port.")
        elif word not in list(Encryption):
            wrong.append(f"Line {number}: {word!r} is not one of {', '.join(Encryption)}.")
        else:
            servers.append(ServerInput(found["host"], int(found["port"] or DEFAULT_PORT), word))
    if wrong:
        raise InvalidInput({"servers": wrong})
    return servers


def format_servers(servers: Iterable[Server], encryption: str) -> str:
    """The lines; a server's own encryption only where it is not the usual one."""
    return "\n".join(
        f"{server.host}:{server.port}{'' if server.encryption == encryption else f' {server.encryption}'}"
        for server in servers
    )
