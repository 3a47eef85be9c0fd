# SPDX-License-Identifier: MIT
"""The general settings on one page, made from the catalogue: grouped, explained, and restored with one button."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import messages
from django.forms import BoundField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from admin_ui.fields import form_field
from admin_ui.pages import Page, tell_refusal
from mailserver.config.catalog import GENERAL, LISTEN_ADDRESS, PORT_OFFSET, Setting
from mailserver.config.services import read_settings, set_settings
from mailserver.errors import InvalidInput

GROUPS: dict[str, str] = {
    "server": "This server",
    "mail": "Mail",
    "users": "Users",
    "security": "Security",
    "queue": "Sending",
    "dns": "DNS servers",
    "lan": "LAN forwarding",
    "journey": "Where is my mail?",
    "log": "Log files",
}
"""The first part of a setting's name, and the heading of those settings."""
LINKS: dict[str, tuple[str, str]] = {"dns": ("admin:dns-test", "Test the DNS servers")}
"""What else can be done about a group: a page, and what its link says."""

RECORDED = frozenset({LISTEN_ADDRESS.name, PORT_OFFSET.name})
"""What was written down of the surroundings: no defaults to go back to."""


def _field_name(setting: Setting[Any]) -> str:
    return setting.name.replace(".", "__")


class SettingsForm(forms.Form):
    """One field for each general setting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for setting in GENERAL:
            self.fields[_field_name(setting)] = form_field(setting)

    @property
    def groups(self) -> Iterator[tuple[str, list[BoundField], tuple[str, str] | None]]:
        """Headings with their fields and a link, in the catalogue's order."""
        for prefix in dict.fromkeys(setting.name.partition(".")[0] for setting in GENERAL):
            members = [setting for setting in GENERAL if setting.name.startswith(f"{prefix}.")]
            fields = [self[_field_name(setting)] for setting in members]
            yield GROUPS.get(prefix, prefix.capitalize()), fields, LINKS.get(prefix)

    def save(self) -> bool:
        """Store everything, or say at each field why not."""
        try:
            set_settings({setting.name: self.cleaned_data[_field_name(setting)] for setting in GENERAL})
        except InvalidInput as error:
            for name, sentences in error.messages.items():
                for sentence in sentences:
                    self.add_error(name.replace(".", "__"), sentence)
            return False
        return True


def settings_page(request: HttpRequest) -> Page | HttpResponse:
    """Shows, saves and restores the settings."""
    if request.method == "POST" and "restore" in request.POST:
        _restore(request)
        return HttpResponseRedirect(request.path)
    form = SettingsForm(request.POST or None, initial=_stored())
    if request.method == "POST" and form.is_valid() and form.save():
        messages.success(request, "The settings are saved and in force.")
        return HttpResponseRedirect(request.path)
    return Page("console/settings.html", "General settings", {"form": form})


def _restore(request: HttpRequest) -> None:
    """All of them, or none: a default may name a user who is gone."""
    try:
        set_settings({setting.name: setting.default for setting in GENERAL if setting.name not in RECORDED})
    except InvalidInput as error:
        tell_refusal(request, error)
    else:
        messages.success(request, "The settings have their usual values again.")


def _stored() -> dict[str, Any]:
    stored = read_settings()
    return {_field_name(setting): stored.get(setting.name, setting.default) for setting in GENERAL}
