# SPDX-License-Identifier: MIT
"""The pages that are made from code say what the code says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailserver.config.catalog import GENERAL, SERVICE_TEMPLATES
from mailserver.config.documentation import DOCS, catalog_markdown, configuration_file_markdown


@pytest.mark.parametrize(
    ("name", "write"), [("settings.md", catalog_markdown), ("configuration-file.md", configuration_file_markdown)]
)
def test_a_page_is_up_to_date(name: str, write: Callable[[], str]) -> None:
    """If this fails: python -m mailserver.config.documentation"""
    assert (DOCS / name).read_text(encoding="utf-8") == write()


def test_every_setting_and_option_is_explained() -> None:
    page = catalog_markdown()
    options = {setting.name for template in SERVICE_TEMPLATES.values() for setting in template.options}
    for name in {setting.name for setting in GENERAL} | options:
        assert page.count(f"| `{name}` |") >= 1
