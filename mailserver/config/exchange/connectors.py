# SPDX-License-Identifier: MIT
"""Connections, Collectors, the schedule, download rules and OAuth2 accounts of a configuration file.

Everything is found by its name. What an untouched installation started with gives way to what the file has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from yaml.nodes import Node, ScalarNode

from mailserver.config.exchange.connector_keys import (
    ACCOUNT_KEYS,
    ACCOUNT_MORE,
    COLLECTOR_KEYS,
    COLLECTOR_MORE,
    CONDITION_KEYS,
    CONNECTION_KEYS,
    DAYS,
    ITEM_KEYS,
    ROUTING_KEYS,
    RULE_FILE_KEYS,
    SENDER_KEYS,
    SENDER_MORE,
    SERVER_KEYS,
    Form,
    Key,
)
from mailserver.config.exchange.document import Complaints, Reading
from mailserver.connectors import services
from mailserver.connectors.listing import account_numbers, collector_numbers, connection_numbers, item_numbers
from mailserver.connectors.services import ServerInput

CONNECTOR_SECTIONS = ("oauth_accounts", "download_rules", "collectors", "connections", "schedule")
"""In the order in which they are applied: what is named comes before what names it."""


class ConnectorSections:
    """Applies them within the import's transaction; what is wrong becomes a complaint."""

    def __init__(
        self, reading: Reading, sections: Mapping[str, Node], added: Counter[str], changed: Counter[str]
    ) -> None:
        self._reading = reading
        self._complaints: Complaints = reading.complaints
        self._sections = sections
        self._added = added
        self._changed = changed

    def apply(self) -> None:
        for section in CONNECTOR_SECTIONS:
            if section in self._sections:
                nodes = self._reading.sequence(self._sections[section])
                {
                    "oauth_accounts": self._accounts,
                    "download_rules": self._rules,
                    "collectors": self._collectors,
                    "connections": self._connections,
                    "schedule": self._schedule,
                }[section](nodes)

    # ------------------------------------------------------------ each section

    def _accounts(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            keys = self._reading.mapping(node, (*ACCOUNT_KEYS, *ACCOUNT_MORE))
            fields = self._fields(keys, ACCOUNT_KEYS)
            fields |= {name: self._reading.text(keys[name]) for name in ACCOUNT_MORE if name in keys}
            with self._complaints.about(node, keys):
                known = account_numbers().get(self._named(keys))
                services.save_account(fields, known)
                self._count("oauth_accounts", known)

    def _rules(self, nodes: Iterable[Node]) -> None:
        """A list that belongs together: it replaces the present one."""
        services.delete_rules()
        for node in nodes:
            keys = self._reading.mapping(node, (*RULE_FILE_KEYS, "conditions"))
            fields = self._fields(keys, RULE_FILE_KEYS)
            if "conditions" in keys:
                fields["conditions"] = [self._condition(item) for item in self._reading.sequence(keys["conditions"])]
            with self._complaints.about(node, keys):
                services.save_rule(fields)
                self._added["download_rules"] += 1

    def _condition(self, node: Node) -> dict[str, str]:
        keys = self._reading.mapping(node, CONDITION_KEYS)
        return {name: self._reading.text(keys.get(name)) for name in CONDITION_KEYS if name == "kind" or name in keys}

    def _collectors(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            keys = self._reading.mapping(node, (*COLLECTOR_MORE, *COLLECTOR_KEYS))
            routing = self._reading.mapping(keys["routing"], ROUTING_KEYS) if "routing" in keys else {}
            with self._complaints.about(node, {**_places(keys, COLLECTOR_KEYS), **_places(routing, ROUTING_KEYS)}):
                fields = self._fields(keys, COLLECTOR_KEYS) | self._fields(routing, ROUTING_KEYS) | self._secret(keys)
                if "errors_to" in routing and "errors" not in routing:
                    fields["errors_action"] = "message-to"
                name = fields["name"] = self._named(keys)
                known = collector_numbers().get(name)
                if known is None:
                    services.create_collector(fields, connections=())
                else:
                    services.update_collector(known, fields)
                self._count("collectors", known)

    def _connections(self, nodes: Iterable[Node]) -> None:
        """Room is made first: the one of the first start counts among the ten."""
        entries = [(node, self._reading.mapping(node, CONNECTION_KEYS)) for node in nodes]
        if entries:
            services.forget_untouched_connection({self._named(keys) for _, keys in entries})
        for node, keys in entries:
            sender = self._reading.mapping(keys["sender"], (*SENDER_KEYS, *SENDER_MORE)) if "sender" in keys else {}
            of_sender = {key.column: keys.get("sender", node) for key in SENDER_KEYS.values()}
            places = {**keys, **of_sender, **_places(sender, SENDER_KEYS), "is_default": keys.get("default", node)}
            with self._complaints.about(node, places):
                self._connection(keys, sender)

    def _connection(self, keys: dict[str, Node], sender: dict[str, Node]) -> None:
        fields: dict[str, object] = {"name": self._named(keys)}
        if "default" in keys:
            fields["is_default"] = self._reading.boolean(keys["default"])
        values = self._fields(sender, SENDER_KEYS) | self._secret(sender)
        if "username" in sender and "authentication" not in sender:
            values["login_method"] = "automatic" if values["username"] else "none"
        servers = (
            [self._server(item) for item in self._reading.sequence(sender["servers"])] if "servers" in sender else None
        )
        collectors = self._numbers(keys, "collectors", collector_numbers(), "Collector")
        known = connection_numbers().get(str(fields["name"]))
        if known is None:
            services.create_connection(fields, sender=values, servers=servers or (), collectors=collectors or ())
        else:
            services.update_connection(known, fields, sender=values, servers=servers, collectors=collectors)
        self._count("connections", known)

    def _server(self, node: Node) -> ServerInput:
        keys = self._reading.mapping(node, SERVER_KEYS)
        if "host" not in keys:
            self._complaints.add(node, "A server needs a host.")
        host = self._reading.text(keys.get("host"), "localhost")
        encryption = self._reading.text(keys.get("encryption"), "opportunistic")
        return ServerInput(host, self._reading.number(keys.get("port"), 25), encryption)

    def _schedule(self, nodes: Iterable[Node]) -> None:
        """Names need not be unique, nor be there at all: the nth of a name is the nth item of that name."""
        entries = [(node, self._reading.mapping(node, ITEM_KEYS)) for node in nodes]
        if entries:
            services.forget_untouched_items()
        free = item_numbers()
        for node, keys in entries:
            places = {**keys, "start": keys.get("from", node), "end": keys.get("to", keys.get("from", node))}
            with self._complaints.about(node, places):
                fields = self._item_fields(keys)
                connections = self._numbers(keys, "connections", connection_numbers(), "Connection")
                of_name = free.get(str(fields["name"]), [])
                known = of_name.pop(0) if of_name else None
                if known is None:
                    if not connections and not {"default_connections", "deny"} & set(keys):
                        fields["to_default"] = True
                    services.create_item(fields, connections or ())
                else:
                    services.update_item(known, fields, connections)
                self._count("schedule", known)

    def _item_fields(self, keys: dict[str, Node]) -> dict[str, object]:
        reading = self._reading
        if "once_at" in keys and "every_minutes" in keys:
            self._complaints.add(keys["once_at"], "An item has either every_minutes or once_at, not both.")
        fields: dict[str, object] = {"name": reading.text(keys.get("name")).strip()}
        for key, column in (("enabled", "enabled"), ("default_connections", "to_default"), ("deny", "deny")):
            if key in keys:
                fields[column] = reading.boolean(keys[key])
        for key in ("every_minutes", "minimum_messages"):
            if key in keys:
                fields[key] = reading.number(keys[key])
        for key, column in (("from", "start"), ("to", "end"), ("once_at", "once_at")):
            if key in keys:
                fields[column] = reading.text(keys[key])
        if "once_at" in keys:
            fields["mode"] = "once"
        elif {"every_minutes", "from", "to"} & set(keys):
            fields |= {"mode": "every", "once_at": None}
        if "days" in keys:
            fields["days"] = self._days(keys["days"])
        return fields

    def _days(self, node: Node) -> str:
        digits = ""
        for item in self._reading.sequence(node):
            word = self._reading.text(item).strip().lower()[:3]
            if word in DAYS:
                digits += str(DAYS.index(word) + 1)
            else:
                self._complaints.add(item, f"{word!r} is not one of {', '.join(DAYS)}.")
        return digits

    # ------------------------------------------------------------ what they share

    def _fields(self, keys: Mapping[str, Node], table: Mapping[str, Key]) -> dict[str, object]:
        return {key.column: self._value(keys[name], key.form) for name, key in table.items() if name in keys}

    def _value(self, node: Node, form: Form) -> object:
        reading = self._reading
        if form is Form.NUMBER:
            return reading.number(node)
        if form is Form.FLAG:
            return reading.boolean(node)
        if form is Form.TEXT or isinstance(node, ScalarNode):
            return reading.text(node)
        joined = {Form.WORDS: ", ", Form.DOMAINS: "; ", Form.LINES: "\n"}[form]
        return joined.join(reading.texts(node))

    def _secret(self, keys: Mapping[str, Node]) -> dict[str, object]:
        fields: dict[str, object] = {}
        if "password" in keys:
            fields["password"] = self._reading.text(keys["password"])
        if "oauth_account" in keys:
            name = self._reading.text(keys["oauth_account"])
            number = account_numbers().get(name)
            if name and number is None:
                self._complaints.add(keys["oauth_account"], f"There is no OAuth2 account {name!r}.")
            fields["oauth"] = number
        return fields

    def _numbers(self, keys: Mapping[str, Node], key: str, known: Mapping[str, int], what: str) -> list[int] | None:
        """What a list of names means; None when there is no list."""
        if key not in keys:
            return None
        found = []
        for item in self._reading.sequence(keys[key]):
            name = self._reading.text(item).strip()
            if name in known:
                found.append(known[name])
            else:
                self._complaints.add(item, f"There is no {what} {name!r}.")
        return found

    def _named(self, keys: Mapping[str, Node]) -> str:
        return self._reading.text(keys.get("name")).strip()

    def _count(self, section: str, known: int | None) -> None:
        (self._added if known is None else self._changed)[section] += 1


def _places(keys: Mapping[str, Node], table: Mapping[str, Key]) -> dict[str, Node]:
    """Where the file says something of a column; secrets and lists go by their keys' own names."""
    places = {key.column: keys[name] for name, key in table.items() if name in keys}
    places |= {name: node for name, node in keys.items() if name not in table}
    if "oauth_account" in keys:
        places["oauth"] = keys["oauth_account"]
    return places
