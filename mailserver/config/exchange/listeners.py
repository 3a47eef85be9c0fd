# SPDX-License-Identifier: MIT
"""The services and access rules of a configuration file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from yaml.nodes import Node

from mailserver.config.catalog import ServiceKind
from mailserver.config.exchange.document import Complaints, Reading
from mailserver.config.exchange.keys import RULE_KEYS, SERVICE_FLAGS, SERVICE_KEYS, SERVICE_NUMBERS, SERVICE_TEXTS
from mailserver.config.listening import AccessRuleInput
from mailserver.config.models import Service
from mailserver.config.services import create_service, update_service
from mailserver.config.snapshot import Binding
from mailserver.users.services import find_user


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """An access rule as the file has it; its users are addresses still."""

    rule: AccessRuleInput
    users: tuple[tuple[Node, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service as the file has it; None where it says nothing of a list."""

    node: Node
    places: dict[str, Node]
    name: str
    kind: ServiceKind | None
    fields: dict[str, object]
    options: dict[str, object]
    bindings: tuple[Binding, ...] | None
    rules: tuple[RuleEntry, ...] | None


def read_services(reading: Reading, node: Node) -> list[ServiceEntry]:
    """Every service of the section; what cannot be read is a complaint."""
    return [_read_service(reading, item) for item in reading.sequence(node)]


def read_rules(reading: Reading, node: Node) -> tuple[RuleEntry, ...]:
    """An access list."""
    return tuple(_read_rule(reading, item) for item in reading.sequence(node))


def resolve_rules(rules: Iterable[RuleEntry], complaints: Complaints) -> list[AccessRuleInput]:
    """The rules with their users found; one who does not exist is a complaint."""
    resolved = []
    for entry in rules:
        ids = []
        for node, address in entry.users:
            user = find_user(address)
            if user is None:
                complaints.add(node, f"There is no user {address}.")
            else:
                ids.append(user.pk)
        resolved.append(replace(entry.rule, users=tuple(ids)))
    return resolved


def apply_services(
    entries: list[ServiceEntry], complaints: Complaints, added: Counter[str], changed: Counter[str]
) -> None:
    """Each entry changes the service of its name, else an unnamed one of its kind, else it is a new one."""
    targets = _match(entries)
    for entry, target in zip(entries, targets, strict=True):
        if target is not None and entry.bindings is not None:
            update_service(target, bindings=())  # two services may exchange their ports
    for entry, target in zip(entries, targets, strict=True):
        with complaints.about(entry.node, entry.places):
            if target is None and entry.kind is None:
                if "kind" not in entry.places:
                    complaints.add(entry.node, "There is no service of this name; a new one needs a kind.")
                continue
            found = target if target is not None else _create(entry)
            (changed if target is not None else added)["services"] += 1
            update_service(
                found,
                fields={**entry.fields, **({"name": entry.name} if entry.name else {})},
                options=entry.options,
                bindings=entry.bindings,
                access_rules=None if entry.rules is None else resolve_rules(entry.rules, complaints),
            )


def _create(entry: ServiceEntry) -> int:
    assert entry.kind is not None
    return create_service(entry.kind, name=entry.name)


def _match(entries: list[ServiceEntry]) -> list[int | None]:
    """The service that each entry means, by number; None for a new one. Each service is meant once."""
    rows = {row.name: row for row in Service.objects.order_by("pk")}
    named = {entry.name for entry in entries}
    free = [row for row in rows.values() if row.name not in named]
    targets: list[int | None] = []
    for entry in entries:
        row = rows.get(entry.name)
        if row is None and entry.kind is not None:
            row = next((row for row in free if row.kind == entry.kind.value), None)
            free = [other for other in free if other is not row]
        targets.append(row.pk if row is not None else None)
    return targets


def _read_service(reading: Reading, node: Node) -> ServiceEntry:
    keys = reading.mapping(node, SERVICE_KEYS)
    if not {"name", "kind"} & set(keys):
        reading.complaints.add(node, "A service needs a name or a kind.")
    fields: dict[str, object] = {}
    for key in keys:
        if key in SERVICE_FLAGS:
            fields[key] = reading.boolean(keys[key])
        elif key in SERVICE_NUMBERS:
            fields[key] = reading.number(keys[key])
        elif key in SERVICE_TEXTS:
            fields[key] = reading.text(keys[key])
    options = reading.entries(keys["options"]) if "options" in keys else []
    return ServiceEntry(
        node,
        {**keys, **dict(options)},
        reading.text(keys.get("name")).strip(),
        _read_kind(reading, keys["kind"]) if "kind" in keys else None,
        fields,
        {name: reading.text(value) for name, value in options},
        tuple(_read_bindings(reading, keys["bindings"])) if "bindings" in keys else None,
        read_rules(reading, keys["access_rules"]) if "access_rules" in keys else None,
    )


def _read_kind(reading: Reading, node: Node) -> ServiceKind | None:
    text = reading.text(node)
    if text in [kind.value for kind in ServiceKind]:
        return ServiceKind(text)
    reading.complaints.add(node, f"{text!r} is not one of {', '.join(kind.value for kind in ServiceKind)}.")
    return None


def _read_bindings(reading: Reading, node: Node) -> Iterable[Binding]:
    """`address:port`, an IPv6 address in square brackets."""
    for item in reading.sequence(node):
        address, _, port = reading.text(item).rpartition(":")
        if address and port.isascii() and port.isdecimal():
            yield Binding(address.removeprefix("[").removesuffix("]"), int(port))
        else:
            reading.complaints.add(item, 'A binding is written like "0.0.0.0:25" or "[::]:25".')


def _read_rule(reading: Reading, node: Node) -> RuleEntry:
    keys = reading.mapping(node, RULE_KEYS)
    action = reading.text(keys.get("action"))
    if action not in ("allow", "block"):
        reading.complaints.add(keys.get("action", node), "A rule needs the action allow or block.")
    users = reading.sequence(keys["users"]) if "users" in keys else []
    rule = AccessRuleInput(
        allow=action == "allow",
        matches=reading.text(keys.get("matches"), "network"),
        network=reading.text(keys.get("network")),
        allow_unauthenticated=reading.boolean(keys.get("without_login")),
        comment=reading.text(keys.get("comment")),
    )
    return RuleEntry(rule, tuple((item, reading.text(item)) for item in users))
