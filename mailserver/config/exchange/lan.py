# SPDX-License-Identifier: MIT
"""LAN forwarding rules of a configuration file: a list that belongs together, in the order in which it is tried.

It replaces the present one. Where the file has no password, the one that is known for the same server and user stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from yaml.nodes import Node, ScalarNode

from mailserver.config.exchange.document import Reading
from mailserver.config.exchange.keys import LAN_KEYS
from mailserver.connectors import sealing
from mailserver.lan import services
from mailserver.lan.matching import split_server
from mailserver.lan.services import RuleInput


def import_lan(reading: Reading, nodes: Iterable[Node], added: Counter[str]) -> None:
    """Within the import's transaction; what is wrong becomes a complaint."""
    known = {
        (*split_server(rule.server), rule.login): sealing.unseal(rule.secret, sealing.LAN_PASSWORD)
        for rule in services.read_rules()
    }
    for rule in services.read_rules():
        services.delete_rule(rule.id)
    for number, node in enumerate(nodes, 1):
        keys = reading.mapping(node, LAN_KEYS)
        with reading.complaints.about(node, keys):
            server, port = reading.text(keys.get("server")).strip(), reading.number(keys.get("port"), 25)
            username = reading.text(keys.get("username"))
            password = reading.text(keys["password"]) if "password" in keys else known.get((server, port, username))
            given = RuleInput(
                _addresses(reading, keys),
                server,
                port,
                username,
                password or None,
                reading.text(keys.get("rewrite")),
                reading.text(keys.get("condition"), "all"),
                reading.text(keys.get("comment")),
                position=number * 10,
            )
            services.save_rule(given)
            added["lan_forwarding"] += 1


def export_lan(*, secrets: bool) -> list[dict[str, Any]]:
    """As `import_lan` reads them back."""
    return [_document(rule, secrets=secrets) for rule in services.read_rules()]


def _document(rule: Any, *, secrets: bool) -> dict[str, Any]:
    server, port = split_server(rule.server)
    document: dict[str, Any] = {"addresses": list(rule.addresses), "server": server, "port": port}
    document |= {"username": rule.login, "rewrite": rule.rewrite, "condition": rule.condition, "comment": rule.comment}
    if secrets and rule.secret:
        document["password"] = sealing.unseal(rule.secret, sealing.LAN_PASSWORD)
    return document


def _addresses(reading: Reading, keys: dict[str, Node]) -> str:
    node = keys.get("addresses")
    if node is None or isinstance(node, ScalarNode):
        return reading.text(node)
    return "\n".join(reading.texts(node))
