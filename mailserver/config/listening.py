# SPDX-License-Identifier: MIT
"""What an administrator may say of a service, checked: fields, options, bindings and access rules.

Spec services 1.2 to 1.4, 5.1. Each check gives its complaints by field, in plain words; `services.py` stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from mailserver.config import models
from mailserver.config.catalog import SERVICE_TEMPLATES, ServiceKind
from mailserver.config.snapshot import Binding
from mailserver.errors import InvalidInput

FIELDS = frozenset(
    {
        "name",
        "enabled",
        "encryption",
        "require_encrypted_login",
        "use_global_access",
        "bandwidth",
        "bandwidth_bytes",
        "bandwidth_pool",
        "max_sessions",
        "max_sessions_per_address",
        "idle_timeout_seconds",
        "log_sessions",
    }
)
"""Columns of a Service row that may be changed; what is particular to a protocol is among its options."""

Problems = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class AccessRuleInput:
    """A line of an access list as somebody typed it; `users` are ids."""

    allow: bool = True
    matches: str = "network"
    network: str = ""
    allow_unauthenticated: bool = False
    users: tuple[int, ...] = ()
    comment: str = ""


def parse_options(kind: ServiceKind, options: Mapping[str, object]) -> dict[str, Any]:
    """The options as their types, by name; raises InvalidInput naming each wrong one."""
    settings = {setting.name: setting for setting in SERVICE_TEMPLATES[kind].options}
    parsed: dict[str, Any] = {}
    problems: Problems = {}
    for name, value in options.items():
        if name not in settings:
            problems[name] = [f"A {kind.value} service has no option of this name."]
            continue
        try:
            parsed[name] = settings[name].parse(value)
        except InvalidInput as error:
            problems |= error.messages
    if problems:
        raise InvalidInput(problems)
    return parsed


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """An address or a network; bits behind the prefix are forgiven. Raises InvalidInput."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise InvalidInput(
            {"network": [f"{text.strip()!r} is not an address or network such as 192.168.1.0/24."]}
        ) from None


def check_fields(service: models.Service) -> Problems:
    """What is wrong with the columns taken together."""
    problems: Problems = {}
    if service.bandwidth == models.Service.Bandwidth.CUSTOM and not service.bandwidth_bytes:
        problems["bandwidth_bytes"] = ["Write how many bytes per second each connection may use."]
    if service.bandwidth == models.Service.Bandwidth.POOL and not service.bandwidth_pool:
        problems["bandwidth_pool"] = ["Choose the pool whose bandwidth is shared."]
    return problems


def check_bindings(bindings: Sequence[Binding], taken: Iterable[tuple[str, Binding]]) -> Problems:
    """Each address is one, each port is in range, and no other service (`taken`: name and binding) is in the way."""
    messages: list[str] = []
    held = list(taken)
    for binding in bindings:
        messages += _check_binding(binding, held)
        held.append(("this service", binding))
    return {"bindings": messages} if messages else {}


def check_access_rules(rules: Sequence[AccessRuleInput], users: frozenset[int]) -> Problems:
    """Each line says whom it matches, and names users that exist."""
    messages = [
        f"Line {number}: {text}" for number, rule in enumerate(rules, 1) for text in _check_access_rule(rule, users)
    ]
    return {"access_rules": messages} if messages else {}


def normal_address(text: str) -> str:
    """The one spelling of an IP address; raises ValueError."""
    return str(ip_address(text.strip()))


def _check_binding(binding: Binding, held: Iterable[tuple[str, Binding]]) -> list[str]:
    if not 1 <= binding.port <= 65535:
        return [f"{binding.port} is not a port: ports lie between 1 and 65535."]
    try:
        ip_address(binding.address)
    except ValueError:
        return [
            f"{binding.address!r} is not an IP address. 0.0.0.0 stands for all IPv4 addresses, :: for all IPv6 ones."
        ]
    return [
        f"Port {binding.port} on {binding.address} is already used by {owner}."
        for owner, other in held
        if _overlap(binding, other)
    ]


def _overlap(one: Binding, other: Binding) -> bool:
    """The system refuses the second of these: the same address, or a family's wildcard with one of its own."""
    first, second = ip_address(one.address), ip_address(other.address)
    if one.port != other.port or first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _check_access_rule(rule: AccessRuleInput, users: frozenset[int]) -> list[str]:
    messages = []
    if rule.matches not in models.AccessRule.Matches.values:
        messages.append(f"{rule.matches!r} is not one of {', '.join(models.AccessRule.Matches.values)}.")
    if rule.matches == models.AccessRule.Matches.NETWORK:
        try:
            parse_network(rule.network)
        except InvalidInput as error:
            messages += error.messages["network"]
    elif rule.network:
        messages.append("An address is only written where the rule matches an address or network.")
    if not rule.allow and (rule.users or rule.allow_unauthenticated):
        messages.append("A rule that blocks lets nobody in: it can neither name users nor exempt from logging in.")
    if not users.issuperset(rule.users):
        messages.append("It names a user who does not exist.")
    return messages
