# SPDX-License-Identifier: MIT
"""One frozen picture of everything that the daemons need to know, built whole and checked, then swapped.

Code gets the snapshot as an argument, once per command; nothing reads a setting at import time. The builder reads
the database; the picture itself is plain values, and a test makes one by hand (`Snapshot(...)` has defaults).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, TypeVar

from mailserver.config.catalog import MAIN_ADMINISTRATOR, ServiceKind, Setting
from mailserver.lan.matching import LanRule
from mailserver.values import Address, MailboxId, Protocol, UserId

T = TypeVar("T", bool, int, str)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One line of an access list. `matches` is `any`, `local`, `routers` or `network`."""

    allow: bool
    matches: str
    network: IPv4Network | IPv6Network | None = None
    allow_unauthenticated: bool = False
    users: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a service listens."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Service:
    """A Service row. `encryption` is `none`, `tls` or `ssl`; `bandwidth` as the bandwidth script encodes it:
    0 no limit, a positive number bytes per second of each connection, -1 to -1000 a pool (spec services 5.3)."""

    id: int
    kind: ServiceKind
    name: str
    protocol: Protocol
    bindings: tuple[Binding, ...] = ()
    enabled: bool = True
    encryption: str = "none"
    require_encrypted_login: bool = True
    use_global_access: bool = False
    access: tuple[AccessRule, ...] = ()
    bandwidth: int = 0
    max_sessions: int = 0
    max_sessions_per_address: int = 0
    idle_timeout_seconds: int = 300
    log_sessions: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def get(self, setting: Setting[T]) -> T:
        """An option of this service's protocol, or its default."""
        value: T = self.options.get(setting.name, setting.default)
        return value


@dataclass(frozen=True, slots=True)
class User:
    """What the daemons know of a user without asking the database."""

    id: UserId
    name: str
    address: Address
    inbox: MailboxId
    active: bool = True
    admin: bool = False
    protocols: frozenset[Protocol] = frozenset(Protocol)
    max_outgoing_bytes: int = 0
    may_send_out: bool = True
    quota_bytes: int = 0
    full_name: str = ""
    send_priority: int = 50
    hold_sent_seconds: int = 0


class Directory:
    """The local domains and users, found by what a peer types; names compare without case (spec users 1.2)."""

    def __init__(self, domains: Iterable[str], users: Iterable[User]) -> None:
        """`domains` and `users` in the order in which they were created."""
        self.domains: tuple[str, ...] = tuple(domains)
        self.users: dict[UserId, User] = {}
        self._domains = frozenset(self.domains)
        self._by_address: dict[tuple[str, str], User] = {}
        self._by_name: dict[str, User] = {}
        for user in users:
            self.users[user.id] = user
            self._by_address[user.address.local.lower(), user.address.domain] = user
            self._by_name.setdefault(user.name.lower(), user)

    def is_local(self, domain: str) -> bool:
        return domain.lower() in self._domains

    def find(self, address: Address) -> User | None:
        """The user with exactly this address."""
        return self._by_address.get((address.local.lower(), address.domain.lower()))

    def find_login(self, login: str) -> User | None:
        """By name (the first user created with it) or by full address (design section 3)."""
        name, at, domain = login.strip().lower().rpartition("@")
        return self._by_address.get((name, domain)) if at else self._by_name.get(domain)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """The certificate chain and the decrypted key, PEM. Never logged."""

    chain_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HiddenCapabilities:
    """Capabilities that some IMAP4 clients are better not told of.

    `user` None means everybody; `client` is part of what the client says of itself (`name version`, RFC 2971), and
    empty for any client, also one that says nothing.
    """

    words: frozenset[str]
    user: UserId | None = None
    client: str = ""

    def concerns(self, user: UserId | None, client: str) -> bool:
        """`user` None is one who has not logged in."""
        return self.user in (None, user) and self.client.lower() in client.lower()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The picture. `revision` says from which state of the database it was built."""

    revision: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    global_access: tuple[AccessRule, ...] = ()
    directory: Directory = field(default_factory=lambda: Directory((), ()))
    pools: Mapping[int, int] = field(default_factory=dict)
    tls: TlsMaterial | None = None
    hidden_capabilities: tuple[HiddenCapabilities, ...] = ()
    lan_rules: tuple[LanRule, ...] = ()
    hostname: str = "localhost"
    """The setting, or the machine's full name: what greetings and Received lines say."""

    def get(self, setting: Setting[T]) -> T:
        """A general setting, or its default."""
        value: T = self.settings.get(setting.name, setting.default)
        return value

    def service(self, service_id: int) -> Service | None:
        return next((service for service in self.services if service.id == service_id), None)

    def hidden_from(self, user: UserId | None, client: str) -> frozenset[str]:
        """Capabilities to leave out for this user and a client that calls itself so (`name version`)."""
        concerned = (hidden.words for hidden in self.hidden_capabilities if hidden.concerns(user, client))
        return frozenset().union(*concerned)

    @property
    def main_administrator(self) -> User | None:
        return self.directory.find_login(self.get(MAIN_ADMINISTRATOR))
