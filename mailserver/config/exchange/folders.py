# SPDX-License-Identifier: MIT
"""Public folders, and what users share with others, in a configuration file, both ways. Their messages are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from yaml.nodes import Node

from mailserver.config.exchange.document import Reading
from mailserver.config.exchange.keys import FOLDER_ACCESS_KEYS, PUBLIC_FOLDER_KEYS, SHARED_FOLDER_KEYS
from mailserver.errors import Kind, MailError
from mailserver.store.folder_data import AccessEntry
from mailserver.store.rights import ALL_RIGHTS, sort_rights
from mailserver.store.services import (
    find_or_make_folder,
    list_public_folders,
    list_shared_folders,
    replace_access,
)
from mailserver.users.services import find_user, list_users
from mailserver.values import PUBLIC, MailboxId, UserId

ANYONE = "anyone"


def import_public_folders(reading: Reading, node: Node, added: Counter[str], changed: Counter[str]) -> None:
    """Each is found by its name, and made when there is none."""
    taking = _Taking(reading, "public_folders", added, changed)
    for item in reading.sequence(node):
        taking.take_over(item, PUBLIC, reading.mapping(item, PUBLIC_FOLDER_KEYS))


def import_shared_folders(reading: Reading, node: Node, added: Counter[str], changed: Counter[str]) -> None:
    """Each is found by its owner and name, and made when there is none."""
    taking = _Taking(reading, "shared_folders", added, changed)
    for item in reading.sequence(node):
        keys = reading.mapping(item, SHARED_FOLDER_KEYS)
        owner = find_user(reading.text(keys.get("owner")))
        if owner is None:
            place = keys.get("owner", item)
            text = f"There is no user {reading.text(place)}." if "owner" in keys else "A shared folder needs an owner."
            reading.complaints.add(place, text)
        taking.take_over(item, None if owner is None else UserId(owner.pk), keys)


def export_public_folders() -> list[dict[str, Any]]:
    """As `import_public_folders` takes them."""
    addresses = _addresses()
    return [
        {"name": mailbox.name, "access": _access_lines(entries, addresses)}
        for mailbox, entries in list_public_folders()
    ]


def export_shared_folders() -> list[dict[str, Any]]:
    """As `import_shared_folders` takes them."""
    addresses = _addresses()
    return [
        {"owner": addresses[mailbox.user], "name": mailbox.name, "access": _access_lines(entries, addresses)}
        for mailbox, entries in list_shared_folders()
    ]


class _Taking:
    """One section of folders, taken over entry by entry."""

    def __init__(self, reading: Reading, section: str, added: Counter[str], changed: Counter[str]) -> None:
        self._reading = reading
        self._section = section
        self._added = added
        self._changed = changed
        self._seen: set[MailboxId] = set()

    def take_over(self, node: Node, owner: UserId | None, keys: Mapping[str, Node]) -> None:
        """The folder, and its list if the file has one. Without an owner only complaints come of it."""
        access = _read_access(self._reading, keys["access"]) if "access" in keys else None
        place = keys.get("name", node)
        if "name" not in keys:
            self._reading.complaints.add(node, "A folder needs a name.")
        if owner is None or "name" not in keys:
            return
        try:
            mailbox, is_new = find_or_make_folder(owner, self._reading.text(place))
        except MailError as error:
            if error.kind is not Kind.FORBIDDEN:
                raise
            self._reading.complaints.add(place, "No folder can have this name.")
            return
        if mailbox.id in self._seen:
            self._reading.complaints.add(place, "This folder is in the list twice.")
        self._seen.add(mailbox.id)
        (self._added if is_new else self._changed)[self._section] += 1
        if access is not None:
            with self._reading.complaints.about(node, keys):
                replace_access(mailbox.id, access)


def _read_access(reading: Reading, node: Node) -> list[AccessEntry]:
    return [entry for item in reading.sequence(node) if (entry := _read_line(reading, item)) is not None]


def _read_line(reading: Reading, node: Node) -> AccessEntry | None:
    keys = reading.mapping(node, FOLDER_ACCESS_KEYS)
    who, rights = reading.text(keys.get("who")).strip(), reading.text(keys.get("rights")).strip()
    user = None if who.lower() == ANYONE else find_user(who)
    if not who:
        reading.complaints.add(node, "It must say who may use the folder: an address, or anyone.")
    elif user is None and who.lower() != ANYONE:
        reading.complaints.add(keys["who"], f"There is no user {who}.")
    elif not rights or not set(rights) <= set(ALL_RIGHTS):
        reading.complaints.add(keys.get("rights", node), f"Rights are some of the letters {ALL_RIGHTS}.")
    else:
        negative = reading.boolean(keys.get("negative"))
        return AccessEntry(None if user is None else UserId(user.pk), sort_rights(rights), negative)
    return None


def _access_lines(entries: Iterable[AccessEntry], addresses: Mapping[UserId, str]) -> list[dict[str, Any]]:
    lines = []
    for entry in entries:
        line: dict[str, Any] = {"who": ANYONE if entry.user is None else addresses[entry.user], "rights": entry.rights}
        lines.append({**line, "negative": True} if entry.negative else line)
    return lines


def _addresses() -> dict[UserId, str]:
    return {UserId(user.pk): user.address for user in list_users()}
