# SPDX-License-Identifier: MIT
"""A new Collector in four pages: what it is, where the mailbox is, who gets its mail, and when it runs.

Spec connectors 4.2. What has been typed so far waits, sealed, in the session; the Collector is made on the last page.
"""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from admin_ui.collector_fields import HELP, warn_without_connection
from admin_ui.pages import Page, tell_refusal
from admin_ui.remote_tests import ShownTest, find_shown
from admin_ui.unfolded import CheckboxInput, CheckboxSelectMultiple, NumberInput, PasswordInput, Select, TextInput
from mailserver import vault
from mailserver.connectors import services
from mailserver.connectors.models import Collector, Connection, Encryption, LoginMethod, OAuthAccount
from mailserver.connectors.remote_tests import order_collector_test
from mailserver.errors import InvalidInput, MailError
from mailserver.users.models import User

SESSION_KEY = "collector_wizard"
SEALED_FOR = "console.collector-wizard"
DOWNLOADS = (Collector.Method.POP3, Collector.Method.IMAP)


class Step(enum.StrEnum):
    """The pages, in their order."""

    METHOD = "method"
    SERVER = "server"
    ROUTING = "routing"
    CONNECTIONS = "connections"


TITLES: dict[Step, str] = {
    Step.METHOD: "What is it?",
    Step.SERVER: "Where is the mailbox?",
    Step.ROUTING: "Who gets its mail?",
    Step.CONNECTIONS: "When does it run?",
}


class MethodForm(forms.Form):
    """Name and method."""

    name = forms.CharField(
        max_length=100,
        widget=TextInput(attrs={"placeholder": "Office mailbox at the provider"}),
        help_text="For displays and error messages: the provider or the mailbox is a good name.",
    )
    method = forms.ChoiceField(
        label="How",
        choices=Collector.Method.choices,
        widget=Select(),
        help_text="Most mailboxes at a provider are collected with POP3. IMAP collects from folders other than the"
        " inbox as well, and can stay connected so that mail is here at once.",
    )


class MailboxForm(forms.Form):
    """A server with a mailbox on it."""

    server = forms.CharField(label="Server", max_length=255, widget=TextInput(attrs={"placeholder": "pop.example.net"}))
    encryption = forms.ChoiceField(choices=Encryption.choices, initial=Encryption.TLS, widget=Select())
    port = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=65535,
        widget=NumberInput(attrs={"class": "pb-number"}),
        help_text="Empty: the usual one for the encryption that is chosen.",
    )
    login_method = forms.ChoiceField(label="Log in with", widget=Select(), initial=LoginMethod.AUTOMATIC)
    username = forms.CharField(
        label="User name",
        required=False,
        max_length=320,
        widget=TextInput(attrs={"autocomplete": "off"}),
        help_text="As the provider gave it to you; it need not be the address.",
    )
    password = forms.CharField(
        required=False,
        strip=False,
        widget=PasswordInput(attrs={"autocomplete": "new-password"}, render_value=True),
        help_text="Stored encrypted.",
    )
    oauth = forms.ModelChoiceField(
        label="OAuth2 account",
        queryset=OAuthAccount.objects.all(),
        required=False,
        widget=Select(),
        help_text="Microsoft and Google want this instead of a password. Accounts are made under OAuth2 accounts.",
    )

    def __init__(self, *args: Any, method: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login = self.fields["login_method"]
        assert isinstance(login, forms.ChoiceField)
        left_out = {LoginMethod.NONE} | (set() if method == Collector.Method.POP3 else {LoginMethod.APOP})
        login.choices = [choice for choice in LoginMethod.choices if choice[0] not in left_out]


class OdmrForm(MailboxForm):
    """A server that sends on the same connection (RFC 2645)."""

    odmr_domains = forms.CharField(
        label="Domains", max_length=1000, widget=TextInput(), help_text="Whose mail is wanted, separated by commas."
    )


class FeedForm(forms.Form):
    """A server that calls us."""

    wait_seconds = forms.IntegerField(
        label="Wait for so many seconds", initial=60, min_value=0, widget=NumberInput(), help_text=HELP["wait_seconds"]
    )
    use_etrn = forms.BooleanField(label="Ask it to begin (ETRN)", required=False, widget=CheckboxInput(), initial=True)
    server = forms.CharField(label="Server to ask", required=False, max_length=255, widget=TextInput())
    etrn_parameters = forms.CharField(label="Domain to ask for", required=False, max_length=500, widget=TextInput())


class RoutingForm(forms.Form):
    """Everything for one user, or by what the headers say."""

    routing = forms.ChoiceField(
        label="Its mail is for",
        choices=[
            (Collector.Routing.SINGLE, "One user: it is that person's mailbox"),
            (Collector.Routing.HEADERS, "Several: everything for our domain lands in it"),
        ],
        widget=Select(),
    )
    target = forms.ModelChoiceField(label="User", queryset=User.objects.all(), required=False, widget=Select())
    accepted_domains = forms.CharField(
        label="Our domains", required=False, widget=TextInput(), help_text=HELP["accepted_domains"]
    )
    leave_on_server_days = forms.IntegerField(
        label="Leave on the server (days)",
        initial=0,
        min_value=0,
        widget=NumberInput(),
        help_text=HELP["leave_on_server_days"],
    )
    max_kilobytes = forms.IntegerField(
        label="Not larger than (kB)",
        initial=0,
        min_value=0,
        widget=NumberInput(),
        help_text="Whoever it is for is asked before a larger message is fetched. 0: no limit.",
    )

    def clean(self) -> dict[str, Any]:
        """Whoever it is for, by address."""
        data = super().clean() or self.cleaned_data
        user = data.get("target")
        data["target"] = user.address if user else ""
        if data.get("routing") == Collector.Routing.SINGLE and not user:
            self.add_error("target", "Choose who gets the messages.")
        if data.get("routing") == Collector.Routing.HEADERS and not data.get("accepted_domains"):
            self.add_error("accepted_domains", "Say which domains or addresses are yours.")
        return data


class ConnectionsForm(forms.Form):
    """With which Connections it runs."""

    connections = forms.MultipleChoiceField(
        label="Whenever these connect", required=False, widget=CheckboxSelectMultiple()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = list(Connection.objects.order_by("pk"))
        field = self.fields["connections"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(str(row.pk), row.name) for row in rows]
        field.initial = [str(row.pk) for row in rows if row.is_default]


def wizard_page(request: HttpRequest) -> Page | HttpResponse:
    """Shows a page; takes what was typed, and goes on."""
    typed = _read(request)
    steps = _steps(str(typed.get("method", "")))
    step = _find_step(request.GET.get("step", ""), steps, typed)
    if request.method != "POST":
        if not request.GET:
            typed = {}
            _keep(request, typed)
        return _show(request, step, steps, _form(step, typed), find_shown(request))
    form = _form(step, typed, request.POST)
    is_valid = form.is_valid()
    if is_valid or "back" in request.POST:  # Whoever goes back finds here later what could be read.
        typed |= {name: _plain(value) for name, value in form.cleaned_data.items()}
        _keep(request, typed)
    if "back" in request.POST:
        return _go(steps[max(0, steps.index(step) - 1)])
    if not is_valid:
        return _show(request, step, steps, form, None)
    if "test" in request.POST:
        return _ask_for_test(request, step, typed)
    if step is steps[-1]:
        return _finish(request, typed, steps)
    return _go(_steps(str(typed["method"]))[steps.index(step) + 1])


def _ask_for_test(request: HttpRequest, step: Step, typed: Mapping[str, Any]) -> HttpResponse:
    """Try the mailbox. Who gets the mail is asked later, and does not matter here."""
    fields = {**_fields(typed), "routing": Collector.Routing.SUBJECT}
    fields.setdefault("port", services.standard_port(fields["method"], fields["encryption"]))
    try:
        test = order_collector_test(fields=fields)
    except (InvalidInput, MailError) as error:
        tell_refusal(request, error)
        return _go(step)
    return HttpResponseRedirect(f"{_place(step)}&test={test}")


def _finish(request: HttpRequest, typed: Mapping[str, Any], steps: list[Step]) -> HttpResponse:
    """Make it. What a page could not check leads back to the page before, with the reason."""
    connections = [int(number) for number in typed.get("connections", ())]
    try:
        number = services.create_collector(_fields(typed), connections)
    except InvalidInput as error:
        tell_refusal(request, error)
        return _go(_step_of(error, steps))
    except MailError as error:
        tell_refusal(request, error)
        return _go(steps[-1])
    request.session.pop(SESSION_KEY, None)
    messages.success(request, f"{typed['name']} was added. Here is everything that can be set.")
    warn_without_connection(request, str(typed["name"]), connections)
    return HttpResponseRedirect(reverse("admin:connectors_collector_change", args=[number]))


def _step_of(error: InvalidInput, steps: list[Step]) -> Step:
    """The page with the first field that is complained of."""
    fields = {
        Step.METHOD: MethodForm.base_fields,
        Step.SERVER: {**OdmrForm.base_fields, **FeedForm.base_fields},
        Step.ROUTING: RoutingForm.base_fields,
    }
    return next((step for step in steps if set(error.messages) & set(fields.get(step, {}))), steps[0])


def _fields(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What `create_collector` takes; a port that was left empty is the usual one."""
    fields = {name: value for name, value in typed.items() if name != "connections" and value not in (None, "")}
    if fields.get("method") == Collector.Method.INCOMING_SMTP:
        fields["login_method"] = LoginMethod.NONE
    return fields


def _steps(method: str) -> list[Step]:
    """Routing is for what is downloaded: the others have envelopes."""
    return [step for step in Step if step is not Step.ROUTING or not method or method in DOWNLOADS]


def _find_step(name: str, steps: list[Step], typed: Mapping[str, Any]) -> Step:
    """The page asked for; the first one, as long as nothing is known."""
    wanted = next((step for step in steps if step == name), steps[0])
    return wanted if typed.get("method") else steps[0]


def _form(step: Step, typed: Mapping[str, Any], data: Any = None) -> forms.Form:
    initial = {name: value for name, value in typed.items() if value is not None}
    if step is Step.METHOD:
        return MethodForm(data, initial=initial)
    if step is Step.ROUTING:
        user = User.objects.filter(address=initial.get("target", "")).first()
        return RoutingForm(data, initial={**initial, "target": user})
    if step is Step.CONNECTIONS:
        return ConnectionsForm(data)
    method = str(typed["method"])
    if method == Collector.Method.INCOMING_SMTP:
        return FeedForm(data, initial=initial)
    kind = OdmrForm if method == Collector.Method.ODMR else MailboxForm
    return kind(data, initial=initial, method=method)


def _show(request: HttpRequest, step: Step, steps: list[Step], form: forms.Form, test: ShownTest | None) -> Page:
    shown = [{"title": TITLES[each], "here": each is step, "number": n} for n, each in enumerate(steps, 1)]
    context = {
        "steps": shown,
        "form": form,
        "test": test,
        "is_first": step is steps[0],
        "is_last": step is steps[-1],
        "can_test": step is Step.SERVER and not isinstance(form, FeedForm),
        "place": _place(step),
    }
    return Page("console/collector_wizard.html", "New Collector", context)


def _plain(value: Any) -> Any:
    return value.pk if isinstance(value, OAuthAccount) else value


def _keep(request: HttpRequest, typed: Mapping[str, Any]) -> None:
    sealed = vault.encrypt(json.dumps(typed).encode(), SEALED_FOR)
    request.session[SESSION_KEY] = base64.b64encode(sealed).decode()


def _read(request: HttpRequest) -> dict[str, Any]:
    kept = request.session.get(SESSION_KEY)
    if not isinstance(kept, str):
        return {}
    read: dict[str, Any] = json.loads(vault.decrypt(base64.b64decode(kept), SEALED_FOR))
    return read


def _place(step: Step) -> str:
    return f"{reverse('admin:collector-wizard')}?step={step}"


def _go(step: Step) -> HttpResponse:
    return HttpResponseRedirect(_place(step))
