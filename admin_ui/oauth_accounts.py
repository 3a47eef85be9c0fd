# SPDX-License-Identifier: MIT
"""OAuth2 accounts in the console: mailboxes at providers that want a sign-in instead of a password."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from admin_ui.oauth import describe_state
from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.unfolded import TextInput
from mailserver.connectors import services
from mailserver.connectors.models import OAuthAccount


class OAuthAccountForm(ServiceForm[OAuthAccount]):
    """The columns, and a secret that is written and never shown."""

    new_secret = forms.CharField(
        label="Client secret",
        required=False,
        strip=True,
        widget=TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="From the application's registration. It is kept encrypted and never shown; empty leaves it as it is."
        " An application that is registered as public has none.",
    )


@admin.register(OAuthAccount, site=console)
class OAuthAccountAdmin(ServiceAdmin[OAuthAccount]):
    """One line for each mailbox that somebody gave permission for, or is about to."""

    form = OAuthAccountForm
    list_display = ("name", "username", "provider", "state", "sign_in")
    ordering = ("id",)
    fields = (
        "name",
        "provider",
        "username",
        "client_id",
        "new_secret",
        "authorize_url",
        "token_url",
        "device_url",
        "scopes",
    )
    empty_title: ClassVar[str] = "No OAuth2 accounts yet"
    empty_text: ClassVar[str] = (
        "Microsoft and Google want a sign-in in the browser instead of a password. Register an application with the"
        " provider, add the account here with its client id, then sign in once. After that collectors and relays can"
        " use it."
    )

    @admin.display(description="State")
    def state(self, account: OAuthAccount) -> SafeString:
        tone, text = describe_state(account)
        return format_html('<span class="pb-tag pb-tag-{}">{}</span>', tone, text)

    @admin.display(description="")
    def sign_in(self, account: OAuthAccount) -> SafeString:
        return format_html(
            '<a class="pb-link" href="{}">Sign in</a>', reverse("admin:oauth-sign-in", args=[account.pk])
        )

    def save_model(self, request: HttpRequest, obj: OAuthAccount, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in self.fields if name != "new_secret"}
        if form.cleaned_data["new_secret"]:
            values["client_secret"] = form.cleaned_data["new_secret"]
        obj.pk = services.save_account(values, obj.pk if change else None)

    def delete_model(self, request: HttpRequest, obj: OAuthAccount) -> None:
        services.delete_account(obj.pk)

    def describe_deletion(self, instance: OAuthAccount) -> str:
        return f"{instance.name}: the permission to use {instance.username} is thrown away"
