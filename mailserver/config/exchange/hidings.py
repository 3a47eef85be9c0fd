# SPDX-License-Identifier: MIT
"""Hidden capabilities in a configuration file, both ways: each is known by its program and its user."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from yaml.nodes import Node

from mailserver.config.exchange.document import Reading
from mailserver.config.exchange.keys import HIDING_KEYS
from mailserver.config.models import CapabilityHiding
from mailserver.config.services import hide_capabilities
from mailserver.users.services import find_user


def import_hidings(reading: Reading, node: Node, added: Counter[str], changed: Counter[str]) -> None:
    """Each changes the first that has its program and user and was not yet meant, else it is a new one."""
    present: defaultdict[tuple[int | None, str], list[int]] = defaultdict(list)
    for row in CapabilityHiding.objects.order_by("pk"):
        present[row.user_id, row.client].append(row.pk)
    for item in reading.sequence(node):
        keys = reading.mapping(item, HIDING_KEYS)
        user = find_user(reading.text(keys["user"])) if "user" in keys else None
        if "user" in keys and user is None:
            reading.complaints.add(keys["user"], f"There is no user {reading.text(keys['user'])}.")
            continue
        user_id = None if user is None else user.pk
        program = reading.text(keys.get("program")).strip()
        meant = present[user_id, program]
        hiding_id = meant.pop(0) if meant else None
        with reading.complaints.about(item, {**keys, "client": keys.get("program", item)}):
            hide_capabilities(
                " ".join(reading.texts(keys.get("capabilities"))),
                user=user_id,
                client=program,
                comment=reading.text(keys.get("comment")),
                hiding_id=hiding_id,
            )
            (added if hiding_id is None else changed)["hidden_capabilities"] += 1


def export_hidings() -> list[dict[str, Any]]:
    """As `import_hidings` takes them."""
    return [
        {
            "program": row.client,
            "user": row.user.address if row.user else None,
            "capabilities": row.capabilities.split(),
            "comment": row.comment,
        }
        for row in CapabilityHiding.objects.order_by("pk").select_related("user")
    ]
