# SPDX-License-Identifier: MIT
"""Whatever the domain can report or do, the console has words for it."""

from __future__ import annotations

import pytest
from django import forms

from admin_ui.config import KIND_LABELS
from admin_ui.fields import form_field
from admin_ui.journeys import STEP_WORDS
from admin_ui.local_addresses import is_address_of_this_machine
from admin_ui.pages import EXPLANATIONS, explain
from mailserver.config.catalog import GENERAL, SERVICE_TEMPLATES, ServiceKind, Setting
from mailserver.errors import InvalidInput, Kind, MailError
from mailserver.journey.records import JourneyStep

EVERY_SETTING = [*GENERAL, *dict.fromkeys(option for each in SERVICE_TEMPLATES.values() for option in each.options)]


def test_every_failure_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Kind)


def test_every_step_of_a_journey_is_worded() -> None:
    assert set(STEP_WORDS) == set(JourneyStep)


def test_every_kind_of_service_can_be_added() -> None:
    assert set(KIND_LABELS) == set(ServiceKind)


def test_the_note_of_a_failure_is_not_shown() -> None:
    assert explain(MailError(Kind.UNAVAILABLE, "host=10.0.0.1 password=x")) == [EXPLANATIONS[Kind.UNAVAILABLE]]


def test_what_was_typed_wrong_is_said_in_full() -> None:
    assert explain(InvalidInput({"a": ["One.", "Two."], "b": ["Three."]})) == ["One.", "Two.", "Three."]


@pytest.mark.parametrize("setting", EVERY_SETTING, ids=lambda setting: setting.name)
def test_the_default_of_a_setting_is_accepted_by_its_field(setting: Setting[object]) -> None:
    field = form_field(setting)
    assert field.clean(setting.default) == setting.default
    assert field.help_text.startswith(setting.help)


@pytest.mark.parametrize("setting", EVERY_SETTING, ids=lambda setting: setting.name)
def test_a_number_out_of_bounds_is_refused_by_its_field(setting: Setting[object]) -> None:
    field = form_field(setting)
    if isinstance(field, forms.IntegerField) and setting.minimum is not None:
        with pytest.raises(forms.ValidationError, match=f"smallest number allowed here is {setting.minimum}"):
            field.clean(setting.minimum - 1)
    elif isinstance(field, forms.ChoiceField):
        with pytest.raises(forms.ValidationError):
            field.clean("no such choice")


@pytest.mark.parametrize(
    ("address", "ours"), [("127.0.0.1", True), ("0.0.0.0", True), ("::1", True), ("203.0.113.9", False)]
)
def test_which_addresses_are_of_this_machine(address: str, ours: bool) -> None:
    assert is_address_of_this_machine(address) is ours
