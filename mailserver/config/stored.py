# SPDX-License-Identifier: MIT
"""The general settings as they are stored, for services that have no snapshot at hand."""

from __future__ import annotations

from typing import Any, TypeVar

from mailserver.config.catalog import STORED, Setting
from mailserver.config.models import StoredSetting

T = TypeVar("T", bool, int, str)


def get_setting(setting: Setting[T]) -> T:
    """The stored value, or the default."""
    stored = StoredSetting.objects.filter(name=setting.name).values_list("value", flat=True).first()
    return setting.default if stored is None else setting.parse(stored)


def read_settings() -> dict[str, Any]:
    """Every setting that differs from its default, by name; raises InvalidInput for a value that is not allowed.

    Names that the catalogue does not know (left by another version) are passed over.
    """
    stored = dict(StoredSetting.objects.values_list("name", "value"))
    return {setting.name: setting.parse(stored[setting.name]) for setting in STORED if setting.name in stored}
