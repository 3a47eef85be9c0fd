# SPDX-License-Identifier: MIT
"""A form field for each entry of the settings catalogue, so that label, help, bounds and choices are written once."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms

from admin_ui.unfolded import CheckboxInput, NumberInput, Select, TextareaInput, TextInput
from mailserver.config.catalog import TIME_ZONE, Effect, Setting

LONG_TEXT = 1000
"""A text that may be longer than this gets a box of several lines."""


def form_field(setting: Setting[Any], *, tell_effect: bool = True) -> forms.Field:
    """The field; what it cannot check itself the service checks. `tell_effect` says below it when a change counts."""
    help_text = _help(setting) if tell_effect else setting.help
    described: dict[str, Any] = {"label": setting.label, "help_text": help_text, "required": False}
    if isinstance(setting.default, bool):
        return forms.BooleanField(**described, widget=CheckboxInput())
    if isinstance(setting.default, int):
        return _number_field(setting, {**described, "required": True})
    choices = _choices(setting)
    if choices:
        return forms.ChoiceField(**{**described, "required": True}, choices=choices, widget=Select())
    long = setting.maximum is None or setting.maximum > LONG_TEXT
    return forms.CharField(
        **described,
        max_length=setting.maximum,
        strip=not long,
        widget=TextareaInput(attrs={"rows": 6}) if long else TextInput(),
    )


def _number_field(setting: Setting[Any], described: dict[str, Any]) -> forms.IntegerField:
    return forms.IntegerField(
        **described,
        min_value=setting.minimum,
        max_value=setting.maximum,
        widget=NumberInput(attrs={"class": "pb-number"}),
        error_messages={
            "invalid": "Write a whole number.",
            "required": f"Write a number; the usual one is {setting.default}.",
            "min_value": "The smallest number allowed here is %(limit_value)s.",
            "max_value": "The largest number allowed here is %(limit_value)s.",
        },
    )


def _choices(setting: Setting[Any]) -> tuple[tuple[str, str], ...]:
    return _time_zones() if setting is TIME_ZONE else setting.choices


@cache
def _time_zones() -> tuple[tuple[str, str], ...]:
    """Read from some hundred files, which do not change while this runs."""
    return tuple((zone, zone.replace("_", " ")) for zone in sorted(available_timezones()))


def _help(setting: Setting[Any]) -> str:
    """What is only for new things says so itself."""
    if setting.effect is not Effect.NEXT_SESSION:
        return setting.help
    return f"{setting.help} A change counts {setting.effect.value}."
