# SPDX-License-Identifier: MIT
"""Every setting of the catalogue is read somewhere, and documented as the catalogue says it."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from mailserver.config import catalog, connection_settings
from mailserver.config.catalog import Setting
from tests.support.sources import product_sources

SETTINGS = {
    name: value
    for module in (catalog, connection_settings)
    for name, value in vars(module).items()
    if isinstance(value, Setting)
}
DECLARING = ("mailserver/config/catalog.py", "mailserver/config/connection_settings.py", "mailserver/config/models.py")


@cache
def _names_used() -> set[str]:
    """Names that code outside of declarations mentions in expressions; an import alone is no use.

    The forms of the console are made from the catalogue's lists, so a name that stands in it is a setting it reads.
    """
    used: set[str] = set()
    for source in product_sources():
        if not source.name.startswith(DECLARING):
            nodes = list(ast.walk(source.tree))
            used |= {node.id for node in nodes if isinstance(node, ast.Name)}
            used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return used


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_read_somewhere(name: str) -> None:
    assert name in _names_used()


def test_every_setting_belongs_to_a_list() -> None:
    lists = (catalog.STORED, catalog.SMTP_OPTIONS, catalog.POP3_OPTIONS, catalog.IMAP4_OPTIONS)
    listed = {setting.name for settings in lists for setting in settings}
    assert {setting.name for setting in SETTINGS.values()} == listed


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_a_setting_explains_itself_and_accepts_its_default(setting: Setting[object]) -> None:
    assert setting.label
    assert setting.help.endswith(".")
    accepted = setting.parse(setting.default)
    assert setting.parse(accepted) == accepted
