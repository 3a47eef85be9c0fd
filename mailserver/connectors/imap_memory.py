# SPDX-License-Identifier: MIT
"""How a message in an IMAP4 folder is remembered, and what happens when the provider numbers everything anew.

RFC 9051 §2.3.1.1: a UID says which message it is only together with the folder and its UIDVALIDITY. When that changes
(the mailbox was moved to another machine, or repaired), messages that stay at the provider would all be new; they are
known again by their Message-ID.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import transaction

from mailserver.connectors.models import RemoteMessage

MAX_FOLDER_LENGTH = 300
"""With two numbers of ten digits behind it, a key fits into its column."""


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A message that was fetched under another UIDVALIDITY."""

    key: str
    digest: str
    size: int
    deleted: bool = False
    """The provider said that it is gone: only the very same one, of the same size, can have come back."""


def message_key(folder: str, uid_validity: int, uid: int) -> str:
    """What a collector remembers a message by."""
    return f"{folder[:MAX_FOLDER_LENGTH]}/{uid_validity}/{uid}"


def split_key(key: str) -> tuple[str, int, int] | None:
    """Folder, UIDVALIDITY and UID again; None for what another method remembered."""
    folder, _, numbers = key.rpartition("/")
    folder, _, uid_validity = folder.rpartition("/")
    if not (folder and uid_validity.isdecimal() and numbers.isdecimal()):
        return None
    return folder, int(uid_validity), int(numbers)


def find_renumbered(collector: int, folder: str, uid_validity: int) -> list[Renumbered]:
    """What was fetched from this folder under another UIDVALIDITY, and can be known again."""
    rows = (
        RemoteMessage.objects.filter(collector_id=collector, downloaded__isnull=False)
        .exclude(key__startswith=message_key(folder, uid_validity, 0)[:-1])
        .exclude(digest="")
        .order_by("pk")
    )
    return [
        Renumbered(key, digest, size, deleted is not None)
        for key, digest, size, deleted in rows.values_list("key", "digest", "size", "deleted").iterator()
        if (parts := split_key(key)) is not None and parts[0] == folder[:MAX_FOLDER_LENGTH] and parts[1] != uid_validity
    ]


def match_renumbered(remembered: Iterable[Renumbered], listed: Iterable[tuple[str, str, int]]) -> dict[str, str]:
    """Old keys and the new ones, by what is `listed`: new key, digest and size. Each is taken once; of several with the
    same Message-ID those of the same size belong together first."""
    by_digest: dict[str, list[Renumbered]] = {}
    for message in remembered:
        by_digest.setdefault(message.digest, []).append(message)
    found: dict[str, str] = {}
    rest: list[tuple[str, str]] = []
    for key, digest, size in listed:
        same = next((one for one in by_digest.get(digest, ()) if one.size == size), None)
        if same is None:
            rest.append((key, digest))
            continue
        by_digest[digest].remove(same)
        found[same.key] = key
    for key, digest in rest:
        same = next((one for one in by_digest.get(digest, ()) if not one.deleted), None)
        if same is not None:
            by_digest[digest].remove(same)
            found[same.key] = key
    return found


def rename_remembered(collector: int, keys: Mapping[str, str]) -> None:
    """From now on these are known by their new keys, where nothing is known of those yet."""
    with transaction.atomic():
        rows = {row.key: row for row in RemoteMessage.objects.filter(collector_id=collector)}
        changed = [rows[old] for old, new in keys.items() if old in rows and new not in rows]
        for row in changed:
            row.key = keys[row.key]
        RemoteMessage.objects.bulk_update(changed, ["key"], batch_size=200)
