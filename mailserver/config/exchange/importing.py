# SPDX-License-Identifier: MIT
"""Taking over a configuration file: all of it, or, when anything in it is wrong, nothing.

Sections that are absent stay as they are; things are found by their names and added when there are none. Passwords
are hashed before the transaction begins, so that mail is not kept waiting.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction
from yaml.nodes import Node

from mailserver.addressing.services import add_domain, find_domain
from mailserver.config.catalog import DEFAULT_DOMAIN, STORED
from mailserver.config.certificates import set_certificate
from mailserver.config.exchange import people
from mailserver.config.exchange.connectors import ConnectorSections
from mailserver.config.exchange.document import Complaints, Reading, is_null, parse_document
from mailserver.config.exchange.folders import import_public_folders, import_shared_folders
from mailserver.config.exchange.hidings import import_hidings
from mailserver.config.exchange.keys import CERTIFICATE_KEYS, POOL_KEYS, SECTIONS
from mailserver.config.exchange.lan import import_lan
from mailserver.config.exchange.listeners import apply_services, read_rules, read_services, resolve_rules
from mailserver.config.general import set_setting
from mailserver.config.services import set_global_access, set_pool


@dataclass(slots=True)
class ImportResult:
    """What an import did: how many of each section were added or changed, and what it could not do."""

    added: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


def import_config(text: str) -> ImportResult:
    """Merge the file into the configuration; raises InvalidInput with every wrong line, and then nothing changed."""
    root = parse_document(text)
    result = ImportResult()
    if root is None:
        return result
    complaints = Complaints()
    reading = Reading(complaints)
    sections = reading.mapping(root, SECTIONS)
    users = people.read_users(reading, sections["users"]) if "users" in sections else []
    people.make_all_secrets(users)
    with transaction.atomic():
        _Application(reading, sections, result).run(users)
        complaints.raise_any()
    return result


class _Application:
    """The sections one after the other, within one transaction."""

    def __init__(self, reading: Reading, sections: dict[str, Node], result: ImportResult) -> None:
        self._reading = reading
        self._complaints = reading.complaints
        self._sections = sections
        self._result = result

    def run(self, users: list[people.UserEntry]) -> None:
        """Domains before the users in them, users before what names them."""
        settings = self._read_settings()
        self._domains()
        self._set(settings, early=True)
        self._pools()
        people.apply_users(users, self._complaints, self._result.added, self._result.changed, self._result.warnings)
        self._services()
        self._hidings_and_folders()
        self._global_access()
        ConnectorSections(self._reading, self._sections, self._result.added, self._result.changed).apply()
        if "lan_forwarding" in self._sections:
            import_lan(self._reading, self._nodes("lan_forwarding"), self._result.added)
        self._set(settings, early=False)
        self._certificate()

    def _domains(self) -> None:
        for node in self._nodes("domains"):
            name = self._reading.text(node)
            if find_domain(name) is None:
                with self._complaints.about(node):
                    add_domain(name)
                    self._result.added["domains"] += 1

    def _pools(self) -> None:
        for node in self._nodes("bandwidth_pools"):
            keys = self._reading.mapping(node, POOL_KEYS)
            places = {**keys, "bytes_per_second": keys.get("bytes_per_second", node)}
            with self._complaints.about(node, places):
                set_pool(
                    self._reading.number(keys.get("number")),
                    self._reading.number(keys.get("bytes_per_second")),
                    self._reading.text(keys.get("name")),
                )
                self._result.changed["bandwidth_pools"] += 1

    def _services(self) -> None:
        if "services" in self._sections:
            entries = read_services(self._reading, self._sections["services"])
            apply_services(entries, self._complaints, self._result.added, self._result.changed)

    def _hidings_and_folders(self) -> None:
        parts = (
            ("hidden_capabilities", import_hidings),
            ("public_folders", import_public_folders),
            ("shared_folders", import_shared_folders),
        )
        for section, take_over in parts:
            if section in self._sections:
                take_over(self._reading, self._sections[section], self._result.added, self._result.changed)

    def _global_access(self) -> None:
        node = self._sections.get("global_access")
        if node is None:
            return
        rules = read_rules(self._reading, node)
        with self._complaints.about(node):
            set_global_access(resolve_rules(rules, self._complaints))
            self._result.changed["global_access"] += 1

    def _read_settings(self) -> dict[str, Node]:
        node = self._sections.get("settings")
        return self._reading.mapping(node, [setting.name for setting in STORED]) if node is not None else {}

    def _set(self, settings: dict[str, Node], *, early: bool) -> None:
        """The default domain counts for the users of the same file, and the main administrator may be one of them."""
        for name, node in settings.items():
            if (name == DEFAULT_DOMAIN.name) is early and not is_null(node):
                with self._complaints.about(node):
                    set_setting(name, self._reading.text(node))
                    self._result.changed["settings"] += 1

    def _certificate(self) -> None:
        node = self._sections.get("certificate")
        if node is None:
            return
        keys = self._reading.mapping(node, CERTIFICATE_KEYS)
        places = {"chain_pem": keys.get("chain", node), "key_pem": keys.get("key", node)}
        with self._complaints.about(node, places):
            set_certificate(self._reading.text(keys.get("chain")), self._reading.text(keys.get("key")))
            self._result.changed["certificate"] += 1

    def _nodes(self, section: str) -> list[Node]:
        node = self._sections.get(section)
        return list(self._reading.sequence(node)) if node is not None else []
