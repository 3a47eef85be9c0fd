# SPDX-License-Identifier: MIT
"""Every setting of the catalogue is read somewhere, and documented as the catalogue says it."""

from __future__ import annotations

import ast

import pytest

from mailserver.config import catalog
from mailserver.config.catalog import Setting
from tests.support.sources import product_sources

SETTINGS = {name: value for name, value in vars(catalog).items() if isinstance(value, Setting)}
DECLARING = ("mailserver/config/catalog.py", "mailserver/config/models.py", "admin_ui/")


def _names_used() -> set[str]:
    """Names that code outside of declarations mentions in expressions; an import alone is no use."""
    used: set[str] = set()
    for source in product_sources():
        if not source.name.startswith(DECLARING):
            nodes = list(ast.walk(source.tree))
            used |= {node.id for node in nodes if isinstance(node, ast.Name)}
            used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return used


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_read_somewhere(name: str) -> None:
    used = _names_used() | ({"TIME_ZONE"} & _names_used_in_console())
    assert name in used


def _names_used_in_console() -> set[str]:
    """The time zone is for people: the console reads it."""
    return {
        node.id
        for source in product_sources()
        if source.name.startswith("admin_ui/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name)
    }


def test_every_setting_belongs_to_a_list() -> None:
    listed = {setting.name for setting in (*catalog.GENERAL, *catalog.SMTP_OPTIONS, *catalog.POP3_OPTIONS)}
    assert {setting.name for setting in SETTINGS.values()} == listed


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_a_setting_explains_itself_and_accepts_its_default(setting: Setting[object]) -> None:
    assert setting.label
    assert setting.help.endswith(".")
    accepted = setting.parse(setting.default)
    assert setting.parse(accepted) == accepted
