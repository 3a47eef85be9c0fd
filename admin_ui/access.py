# SPDX-License-Identifier: MIT
"""Access rules on screen: one line of an access list as a form, and the list that all services may share.

Spec services 1.4 and 1.5. The rules are tried from top to bottom; `mailserver.security` judges by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from django import forms
from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from admin_ui.pages import Page
from admin_ui.unfolded import BaseFormSet, CheckboxInput, NumberInput, Select, SelectMultiple, TextInput
from mailserver.config import services
from mailserver.config.models import AccessRule, Service
from mailserver.config.services import AccessRuleInput
from mailserver.errors import InvalidInput
from mailserver.users.models import User

AT_THE_END = 9999
"""The position of a line that was just added."""
BLANK_LINES = 2

ALLOW_CHOICES = (("True", "Allow"), ("False", "Block"))


def allow_field() -> forms.TypedChoiceField:
    """Allow or block, as two words instead of a tick."""
    return forms.TypedChoiceField(
        label="Rule", choices=ALLOW_CHOICES, coerce=lambda text: text == "True", initial="True", widget=Select()
    )


class UserChoosingForm(BaseForm):
    """Lines that offer all users: `user_choices` is read once for a page, not once for each line."""

    user_choices: ClassVar[Sequence[tuple[int, str]]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        users = self.fields["users"]
        assert isinstance(users, forms.ModelMultipleChoiceField)
        users.choices = self.user_choices


F = TypeVar("F", bound=UserChoosingForm)


def with_user_choices(form: type[F]) -> type[F]:
    """The form for the lines of one page."""
    choices = list(User.objects.values_list("pk", "address"))
    return type(form.__name__, (form,), {"user_choices": choices})


class AccessRuleForm(UserChoosingForm, forms.Form):
    """One line of the global list. A line whose address is empty and that matches one is not there."""

    position = forms.IntegerField(label="Order", required=False, widget=NumberInput(attrs={"class": "pb-order"}))
    allow = allow_field()
    matches = forms.ChoiceField(
        label="Who", choices=AccessRule.Matches.choices, initial=AccessRule.Matches.NETWORK, widget=Select()
    )
    network = forms.CharField(
        label="Address or network", required=False, widget=TextInput(attrs={"placeholder": "192.168.1.0/24"})
    )
    allow_unauthenticated = forms.BooleanField(label="Without login", required=False, widget=CheckboxInput())
    users = forms.ModelMultipleChoiceField(
        label="Only these users", queryset=User.objects.all(), required=False, widget=SelectMultiple()
    )
    comment = forms.CharField(label="Comment", required=False, max_length=200, widget=TextInput())


def rules_of(cleaned: Iterable[dict[str, Any]]) -> list[AccessRuleInput]:
    """Lines in the order of their positions, as the service takes them; deleted and blank ones left out."""
    kept = [data for data in cleaned if data and not data.get("DELETE") and _says_something(data)]
    kept.sort(key=_position)
    return [
        AccessRuleInput(
            allow=data["allow"],
            matches=data["matches"],
            network=data["network"].strip() if data["matches"] == AccessRule.Matches.NETWORK else "",
            allow_unauthenticated=data.get("allow_unauthenticated", False),
            users=tuple(user.pk for user in data.get("users", ())),
            comment=data.get("comment", ""),
        )
        for data in kept
    ]


def _position(data: dict[str, Any]) -> int:
    position = data.get("position")
    return AT_THE_END if position is None else int(position)


def _says_something(data: dict[str, Any]) -> bool:
    return data["matches"] != AccessRule.Matches.NETWORK or bool(data["network"].strip())


class AccessRuleLines(BaseFormSet[AccessRuleForm]):
    """The list as it is on screen."""

    deletion_widget = CheckboxInput


def global_access(request: HttpRequest) -> Page | HttpResponse:
    """The list that applies to every service which says so."""
    formset = _lines(request)
    problems: list[str] = []
    if request.method == "POST":
        if "lan" in request.POST:
            services.set_global_access(services.lan_rules())
            messages.success(request, "Only your local networks are allowed now, on services that use this list.")
            return HttpResponseRedirect(request.path)
        problems = _save(formset)
        if not problems:
            messages.success(request, "The rules are in force.")
            return HttpResponseRedirect(request.path)
    context = {"formset": formset, "problems": problems, "media": formset.media, "services": _services_using_it()}
    return Page("console/global_access.html", "Access for all services", context)


def _lines(request: HttpRequest) -> BaseFormSet[AccessRuleForm]:
    form = with_user_choices(AccessRuleForm)
    lines = forms.formset_factory(form, formset=AccessRuleLines, extra=BLANK_LINES, can_delete=True)
    return lines(request.POST or None, initial=_stored_lines(), prefix="rules")


def _save(formset: BaseFormSet[AccessRuleForm]) -> list[str]:
    if not formset.is_valid():
        return ["Some lines are not complete. Look for the red words below."]
    try:
        services.set_global_access(rules_of(formset.cleaned_data))
    except InvalidInput as error:
        return [text for texts in error.messages.values() for text in texts]
    return []


def _stored_lines() -> list[dict[str, Any]]:
    rules = AccessRule.objects.filter(service=None).prefetch_related("users")
    return [
        {
            "position": number * 10,
            "allow": str(rule.allow),
            "matches": rule.matches,
            "network": rule.network,
            "allow_unauthenticated": rule.allow_unauthenticated,
            "users": list(rule.users.all()),
            "comment": rule.comment,
        }
        for number, rule in enumerate(rules, 1)
    ]


def _services_using_it() -> list[str]:
    return list(Service.objects.filter(use_global_access=True).values_list("name", flat=True))
