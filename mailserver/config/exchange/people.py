# SPDX-License-Identifier: MIT
"""The users of a configuration file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from yaml.nodes import Node

from mailserver.addressing.services import default_domain
from mailserver.config.exchange.document import Complaints, Reading
from mailserver.config.exchange.keys import USER_FIELDS, USER_FLAGS, USER_KEYS, USER_NUMBERS
from mailserver.users.services import (
    NO_PASSWORD,
    Secrets,
    User,
    check_password_strength,
    create_user,
    find_user,
    make_secrets,
    restore_secrets,
    set_password,
    update_user,
)


@dataclass(slots=True)
class UserEntry:
    """A user as the file has it. `secrets` are made of `password` before the transaction begins."""

    node: Node
    places: dict[str, Node]
    name: str
    domain: str | None
    fields: dict[str, Any]
    password: str | None = field(default=None, repr=False)
    secrets: Secrets | None = None

    @property
    def address(self) -> str:
        return self.name if "@" in self.name else f"{self.name}@{self.domain or default_domain()}"


def read_users(reading: Reading, node: Node) -> list[UserEntry]:
    """Every user of the section; what cannot be read is a complaint."""
    return [_read_user(reading, item) for item in reading.sequence(node)]


def make_all_secrets(entries: Iterable[UserEntry]) -> None:
    """The slow part. A password that is refused later was hashed in vain."""
    for entry in entries:
        if entry.password is not None:
            entry.secrets = make_secrets(entry.password, keep_recoverable=True)


def apply_users(
    entries: list[UserEntry],
    complaints: Complaints,
    added: Counter[str],
    changed: Counter[str],
    warnings: list[str],
) -> None:
    """New users in the file's order; then the others, administrators first, so that there is always one."""
    known = {id(entry): find_user(entry.address) for entry in entries}
    for entry in entries:
        if known[id(entry)] is None:
            with complaints.about(entry.node, entry.places):
                _create(entry, warnings)
                added["users"] += 1
    for entry in sorted(entries, key=lambda entry: not entry.fields.get("is_admin", False)):
        user = known[id(entry)]
        if user is not None:
            with complaints.about(entry.node, entry.places):
                _change(entry, user)
                changed["users"] += 1


def _read_user(reading: Reading, node: Node) -> UserEntry:
    keys = reading.mapping(node, USER_KEYS)
    fields: dict[str, Any] = {}
    for key, name in USER_FIELDS.items():
        if key not in keys:
            continue
        if key in USER_FLAGS:
            fields[name] = reading.boolean(keys[key])
        elif key in USER_NUMBERS:
            fields[name] = reading.number(keys[key])
        elif key == "allowed_protocols":
            fields[name] = reading.texts(keys[key])
        else:
            fields[name] = reading.text(keys[key])
    if "name" not in keys:
        reading.complaints.add(node, "A user needs a name.")
    places = {USER_FIELDS.get(key, key): value for key, value in keys.items()}
    entry = UserEntry(
        node,
        places,
        reading.text(keys.get("name")).strip().lower(),
        reading.text(keys["domain"]) if "domain" in keys else None,
        fields,
        reading.text(keys["password"]) if "password" in keys else None,
    )
    if "password_hash" in keys:
        with reading.complaints.about(node, places):
            entry.secrets = restore_secrets(
                reading.text(keys["password_hash"]),
                reading.text(keys.get("scram_verifier")),
                reading.text(keys["recoverable_password"]) if "recoverable_password" in keys else None,
            )
    return entry


def _create(entry: UserEntry, warnings: list[str]) -> None:
    _check_password(entry)
    user = create_user(entry.name, entry.secrets or NO_PASSWORD, domain=entry.domain, **entry.fields)
    if entry.secrets is None:
        warnings.append(f"{user.address} has no password yet; set one with: manage.py setpassword {user.address}")


def _change(entry: UserEntry, user: User) -> None:
    _check_password(entry)
    update_user(user.pk, **entry.fields)
    if entry.secrets is not None:
        set_password(user.pk, entry.secrets)


def _check_password(entry: UserEntry) -> None:
    if entry.password is not None:
        check_password_strength(entry.password, name=entry.name, address=entry.address)
