# SPDX-License-Identifier: MIT
"""Changing the general settings, by name, from a form, a file or the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_domain_name
from django.db import transaction

from mailserver.addressing.services import find_domain
from mailserver.config import models
from mailserver.config.catalog import (
    DEFAULT_DOMAIN,
    HOSTNAME,
    LISTEN_ADDRESS,
    MAIN_ADMINISTRATOR,
    STORED,
    find_setting,
)
from mailserver.config.listening import Problems, normal_address
from mailserver.config.revision import touch_revision
from mailserver.errors import InvalidInput
from mailserver.users.services import find_user


def set_setting(name: str, value: object) -> None:
    """Store one general setting."""
    set_settings({name: value})


def set_settings(values: Mapping[str, object]) -> None:
    """Store several general settings, all or none; one that equals its default is no longer stored."""
    parsed, problems = _parse_settings(values)
    if problems:
        raise InvalidInput(problems)
    with transaction.atomic():
        for setting in STORED:
            if setting.name not in parsed:
                continue
            value = parsed[setting.name]
            if value == setting.default:
                models.StoredSetting.objects.filter(name=setting.name).delete()
            else:
                models.StoredSetting.objects.update_or_create(name=setting.name, defaults={"value": value})
        touch_revision()


def reset_setting(name: str) -> None:
    """Back to the default."""
    setting = find_setting(name)
    if setting is None:
        raise InvalidInput({name: ["There is no setting of this name."]})
    set_setting(name, setting.default)


def _parse_settings(values: Mapping[str, object]) -> tuple[dict[str, Any], Problems]:
    parsed: dict[str, Any] = {}
    problems: Problems = {}
    for name, value in values.items():
        setting = find_setting(name)
        try:
            if setting is None:
                raise InvalidInput({name: ["There is no setting of this name."]})
            parsed[name] = _check_meaning(name, setting.parse(value))
        except InvalidInput as error:
            problems |= error.messages
    return parsed, problems


def _check_meaning(name: str, value: Any) -> Any:
    """What only the database or another rule knows about a text that is long enough and short enough."""
    if name == DEFAULT_DOMAIN.name and value:
        found = find_domain(value)
        if found is None:
            raise InvalidInput({name: [f"{value} is not a local domain. Add it first."]})
        return found.name
    if name == MAIN_ADMINISTRATOR.name and find_user(value) is None:
        raise InvalidInput({name: [f"There is no user {value}."]})
    if name == LISTEN_ADDRESS.name:
        try:
            value = normal_address(value)
        except ValueError:
            raise InvalidInput({name: [f"{value!r} is not an IP address."]}) from None
    if name == HOSTNAME.name and value:
        try:
            validate_domain_name(value)
        except ValidationError:
            raise InvalidInput({name: [f"{value!r} is not a host name; write one like mail.example.com."]}) from None
    return value
