# SPDX-License-Identifier: MIT
"""Which LAN forwarding rule an address falls under, and the address it gets. Spec senders 10.1 and 10.2. Pure.

The rules are tried from top to bottom, and the first that fits decides. An address in a rule is complete and may
have wildcards; `~@domain` is a last resort, asked only when nothing else has been found; a name without a domain fits
at every local domain, where that is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.values import Address
from mailserver.wildcards import matches

LAST_RESORT = "~"
DEFAULT_PORT = 25
NO_RULE = 0
# SMTP:<email address>@[<user>:<password>@]<server>[:<port>]; the address ends at its second @.
_TARGET = re.compile(r"SMTP:(?P<address>[^@\s]+@[^@\s]+)@(?P<server>\S+)", re.IGNORECASE)
_SERVER = re.compile(
    r"(?:(?P<login>[^:\s]+):(?P<password>.*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s@:\[\]]+)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class LanRule:
    """One rule. `server` is `host:port`; `secret` is the password, sealed. `condition` is `all`, `smtp` or `pop3`.

    A target that somebody wrote in the place of an address is a rule without a number; its password is not sealed yet.
    """

    id: int
    addresses: tuple[str, ...]
    server: str
    login: str = ""
    secret: bytes | None = field(default=None, repr=False)
    rewrite: str = ""
    condition: str = "all"
    comment: str = ""
    extra: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LanMatch:
    """A rule that fits, and which of its addresses did."""

    rule: LanRule
    pattern: str

    @property
    def names_a_domain(self) -> bool:
        """The rule is for certain domains. One for any domain at all must not let strangers send through us."""
        _, at, domain = self.pattern.rpartition("@")
        return not at or bool(domain.strip("*?."))


@dataclass(frozen=True, slots=True)
class SmtpTarget:
    """`SMTP:ann@example.org@relay:secret@10.0.0.5:587`, taken apart."""

    address: Address
    server: str
    login: str = ""
    password: str = field(default="", repr=False)

    def rule(self) -> LanRule:
        return LanRule(NO_RULE, (str(self.address),), self.server, self.login, password=self.password)


def find_match(
    rules: Iterable[LanRule],
    address: Address,
    *,
    last_resort: bool = False,
    collected: bool = False,
    is_local: Callable[[str], bool],
    bare: bool = False,
) -> LanMatch | None:
    """The first rule for this address. `collected`: the mail was fetched from a provider; `bare`: names without a
    domain are allowed."""
    for rule in rules:
        if rule.condition not in ("all", "pop3" if collected else "smtp"):
            continue
        for pattern in rule.addresses:
            if pattern.startswith(LAST_RESORT) is last_resort and _fits(pattern, address, is_local, bare):
                return LanMatch(rule, pattern)
    return None


def _fits(pattern: str, address: Address, is_local: Callable[[str], bool], bare: bool) -> bool:
    pattern = pattern.removeprefix(LAST_RESORT)
    if pattern.startswith("@"):
        return matches(pattern[1:], address.domain)
    if "@" in pattern:
        return matches(pattern, str(address))
    return bare and is_local(address.domain) and matches(pattern, address.local)


def rewrite(address: Address, text: str) -> Address:
    """Empty keeps the address, `*@other.example` the part before the @. What is no address keeps it, too."""
    local, at, domain = text.strip().rpartition("@")
    if not at or not local:
        return address
    try:
        return Address(address.local if local == "*" else local, parse_domain(domain))
    except BadDomain:
        return address


def parse_smtp_target(text: str) -> SmtpTarget | None:
    """A LAN target that stands in for an address (spec senders 10.2); None for anything else."""
    found = _TARGET.fullmatch(text.strip())
    server = _SERVER.fullmatch(found["server"]) if found is not None else None
    if found is None or server is None:
        return None
    local, _, domain = found["address"].rpartition("@")
    port = int(server["port"] or DEFAULT_PORT)
    try:
        address = Address(local, parse_domain(domain))
    except BadDomain:
        return None
    if not 1 <= port <= 65535:
        return None
    return SmtpTarget(address, f"{server['host']}:{port}", server["login"] or "", server["password"] or "")


def split_server(server: str) -> tuple[str, int]:
    """`host:port` as rules and queue rows have it."""
    host, colon, port = server.rpartition(":")
    if colon and port.isascii() and port.isdecimal() and not host.endswith(":"):
        return host.strip("[]"), int(port)
    return server.strip("[]"), DEFAULT_PORT
