# SPDX-License-Identifier: MIT
"""What every change of this area has in common: values go into their fields, and workers and the console are told."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models, transaction

from mailserver import notices
from mailserver.connectors import sealing
from mailserver.connectors.checking import Problems

PASSWORD = "password"
"""What a secret is called from outside; it is never read back."""


def changeable(model: type[models.Model], *hidden: str) -> frozenset[str]:
    """Columns that somebody may set, by their names."""
    columns = {field.name for field in model._meta.concrete_fields if field.editable and not field.primary_key}
    return frozenset(columns - set(hidden))


def set_fields(
    row: models.Model, fields: Mapping[str, object], allowed: frozenset[str], secret_use: str = ""
) -> Problems:
    """Put the values into the row; what the row does not have is a problem. Foreign keys are given by number."""
    problems: Problems = {}
    for name, value in fields.items():
        if name == PASSWORD and secret_use:
            row.secret = sealing.seal(str(value or ""), secret_use)  # type: ignore[attr-defined]
        elif name not in allowed:
            problems[name] = ["There is no such field here."]
        else:
            field = row._meta.get_field(name)
            assert isinstance(field, models.Field)
            setattr(row, field.attname, value.strip() if isinstance(value, str) else value)
    return problems


def changed() -> None:
    """Tell everybody after the commit."""
    transaction.on_commit(lambda: notices.publish([notices.CONNECT]))
