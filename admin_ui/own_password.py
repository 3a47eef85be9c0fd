# SPDX-License-Identifier: MIT
"""An administrator changes his or her own password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from admin_ui.pages import Page
from admin_ui.unfolded import PasswordInput
from mailserver.config.catalog import MIN_PASSWORD_LENGTH
from mailserver.config.stored import get_setting
from mailserver.errors import InvalidInput
from mailserver.users import services
from mailserver.users.models import User
from mailserver.users.passwords import verify


class OwnPasswordForm(forms.Form):
    """The present password proves that nobody else is sitting at the screen."""

    present = forms.CharField(
        label="Present password", strip=False, widget=PasswordInput(attrs={"autocomplete": "current-password"})
    )
    password = forms.CharField(
        label="New password", strip=False, widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )
    password_again = forms.CharField(
        label="New password again", strip=False, widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["password"].widget.attrs["data-password-minimum"] = str(get_setting(MIN_PASSWORD_LENGTH))

    def clean_present(self) -> str:
        typed: str = self.cleaned_data["present"]
        if not verify(typed, self.user.password)[0]:
            raise forms.ValidationError("This is not your present password.")
        return typed

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("password", "") != data.get("password_again", ""):
            self.add_error("password_again", "The two passwords are not the same. Type them again.")
        return data

    def save(self) -> bool:
        """Set it, or say why it is not good enough."""
        try:
            services.set_password(self.user.pk, self.cleaned_data["password"])
        except InvalidInput as error:
            for sentences in error.messages.values():
                for sentence in sentences:
                    self.add_error("password", sentence)
            return False
        return True


def own_password_page(request: HttpRequest) -> Page | HttpResponse:
    """Shows the form; afterwards this browser stays logged in and every other is logged out."""
    assert isinstance(request.user, User)
    form = OwnPasswordForm(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid() and form.save():
        update_session_auth_hash(request, services.get_user(request.user.pk))
        messages.success(request, "Your password is changed. Your mail program needs the new one, too.")
        return HttpResponseRedirect(reverse("admin:index"))
    return Page("console/own_password.html", "Change my password", {"form": form})
