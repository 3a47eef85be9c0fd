# SPDX-License-Identifier: MIT
"""The set-up page: five steps from a running server to mail that arrives, on one page, each done or skipped.

What is done is remembered in the setting `console.setup_done`, so that the page stops opening by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from admin_ui.pages import Page, tell_refusal
from admin_ui.unfolded import PasswordInput, Select, TextInput
from mailserver import clock
from mailserver.addressing.services import add_domain, default_domain, find_domain, list_domains
from mailserver.config.building import machine_name
from mailserver.config.catalog import DEFAULT_DOMAIN, HOSTNAME, MIN_PASSWORD_LENGTH, SETUP_DONE, ServiceKind
from mailserver.config.models import Service
from mailserver.config.services import get_setting, set_setting
from mailserver.connectors import services as connectors
from mailserver.connectors.models import Connection, Encryption, LoginMethod, Sender
from mailserver.connectors.serverlines import parse_servers
from mailserver.errors import InvalidInput, MailError
from mailserver.journey.records import next_ref
from mailserver.pipeline.own_mail import OwnMessage, build_own_unit
from mailserver.store.opening import open_store
from mailserver.users.models import User
from mailserver.users.services import create_user
from mailserver.values import UserId


class Step(enum.StrEnum):
    """The steps, in their order on the page."""

    DOMAIN = "domain"
    USERS = "users"
    ARRIVAL = "arrival"
    SENDING = "sending"
    TEST = "test"


TITLES: dict[Step, str] = {
    Step.DOMAIN: "Your domain",
    Step.USERS: "The people who get mail",
    Step.ARRIVAL: "How mail arrives",
    Step.SENDING: "How mail leaves",
    Step.TEST: "Try it",
}
TEST_TEXT = """This message was written by the set-up page of your mail server.
It was delivered to {address}.

If you read it in your mail program, collecting mail works.
Answer it to see that sending works as well.
"""
LOOPBACK = ("127.0.0.1", "::1")


class DomainForm(forms.Form):
    """The domain of the office."""

    name = forms.CharField(
        label="Your mail domain",
        max_length=255,
        widget=TextInput(attrs={"placeholder": "example.com", "autocomplete": "off"}),
        help_text="The part of your addresses after the @. It becomes the default for new users.",
    )

    def save(self) -> str:
        """Add it where it is new, and make it the default."""
        domain = find_domain(self.cleaned_data["name"]) or add_domain(self.cleaned_data["name"])
        set_setting(DEFAULT_DOMAIN.name, domain.name)
        return f"{domain.name} is your domain now."


class NewUserForm(forms.Form):
    """The least that makes a user; everything else has its place under Users."""

    name = forms.CharField(label="Name", max_length=255, widget=TextInput(attrs={"autocomplete": "off"}))
    full_name = forms.CharField(label="Full name", max_length=200, required=False, widget=TextInput())
    password = forms.CharField(
        label="Password", strip=False, widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].help_text = f"The part of the address before @{default_domain()}."
        self.fields["password"].widget.attrs["data-password-minimum"] = str(get_setting(MIN_PASSWORD_LENGTH))

    def save(self) -> str:
        """Add the user in the default domain, with a welcome message in the Inbox."""
        data = self.cleaned_data
        user = create_user(data["name"], data["password"], full_name=data["full_name"], send_welcome=True)
        return f"{user.address} can receive and send mail now."


class SendingForm(forms.Form):
    """How mail for others leaves: the Sender of the first Connection; more is on its own page."""

    method = forms.ChoiceField(label="Send", choices=Sender.Method.choices, widget=Select())
    server = forms.CharField(
        label="Provider's server",
        required=False,
        max_length=300,
        widget=TextInput(attrs={"placeholder": "smtp.example.net:587", "autocomplete": "off"}),
        help_text="The name and, after a colon, the port: mostly 587 with STARTTLS, or 465 with TLS.",
    )
    encryption = forms.ChoiceField(choices=Encryption.choices, initial=Encryption.STARTTLS, widget=Select())
    username = forms.CharField(
        label="User name", required=False, max_length=320, widget=TextInput(attrs={"autocomplete": "off"})
    )
    password = forms.CharField(
        required=False, strip=False, widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def save(self) -> str:
        """Change the first Connection, and have it send at once."""
        data = self.cleaned_data
        connection = Connection.objects.order_by("-is_default", "pk").first()
        sender: dict[str, object] = {"method": data["method"], "enabled": True, "send_immediately": True}
        if data["method"] == Sender.Method.DIRECT:
            servers, said = [], "Mail for others goes to each recipient's server."
        else:
            servers = parse_servers(data["server"], data["encryption"])
            if not servers:
                raise InvalidInput({"server": ["Write the name of your provider's server."]})
            login = LoginMethod.AUTOMATIC if data["username"] else LoginMethod.NONE
            sender |= {"login_method": login, "username": data["username"], "password": data["password"]}
            said = f"Mail for others goes through {servers[0].host}."
        if connection is None:
            connectors.create_connection(sender=sender, servers=servers)
        else:
            connectors.update_connection(connection.pk, sender=sender, servers=servers)
        return said


class TestMessageForm(forms.Form):
    """Who gets the test message."""

    user = forms.ModelChoiceField(label="Send it to", queryset=User.objects.filter(is_active=True), widget=Select())


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step with its number and state."""

    key: str
    number: int
    title: str
    done: bool


@dataclass(frozen=True, slots=True)
class Door:
    """A service that receives mail: its name, where it listens, and whether other machines can reach it."""

    id: int
    name: str
    bindings: tuple[str, ...]
    is_open: bool


def is_unfinished() -> bool:
    """Whether a step is neither done nor skipped."""
    return not _steps_done().issuperset(Step)


def setup_page(request: HttpRequest) -> Page | HttpResponse:
    """Shows the steps; does, skips or reopens one."""
    forms_by_step: dict[Step, forms.Form] = {
        Step.DOMAIN: DomainForm(initial={"name": default_domain()}, prefix=Step.DOMAIN),
        Step.USERS: NewUserForm(prefix=Step.USERS),
        Step.SENDING: SendingForm(prefix=Step.SENDING),
        Step.TEST: TestMessageForm(initial={"user": request.user.pk}, prefix=Step.TEST),
    }
    if request.method == "POST":
        step = _find_step(request.POST.get("step", ""))
        if step is None or "mark" in request.POST or "reopen" in request.POST:
            _mark(step, done="mark" in request.POST)
            return HttpResponseRedirect(_place(step))
        form = ACTIONS[step](request)
        if form is None:
            return HttpResponseRedirect(_place(step))
        forms_by_step[step] = form
    return Page("console/setup.html", "Set-up", _context(forms_by_step))


def _context(forms_by_step: dict[Step, forms.Form]) -> dict[str, Any]:
    done = _steps_done()
    doors = _doors()
    steps = [ShownStep(step.value, number, TITLES[step], step in done) for number, step in enumerate(Step, 1)]
    return {
        "steps": steps,
        "all_done": done.issuperset(Step),
        "forms": {step.value: form for step, form in forms_by_step.items()},
        "domain": default_domain(),
        "domains": list_domains(),
        "users": list(User.objects.order_by("pk")[:12]),
        "user_count": User.objects.count(),
        "hostname": _public_name(),
        "doors": doors,
        "nobody_outside": not any(door.is_open for door in doors),
        "connection": Connection.objects.select_related("sender").order_by("-is_default", "pk").first(),
    }


def _public_name() -> str:
    """The host name for the MX record: the one that is set or the machine's, unless it means nothing outside."""
    name = get_setting(HOSTNAME) or machine_name()
    return name if "." in name else f"mail.{default_domain()}"


def _add_domain(request: HttpRequest) -> forms.Form | None:
    return _save(request, Step.DOMAIN, DomainForm(request.POST, prefix=Step.DOMAIN))


def _add_user(request: HttpRequest) -> forms.Form | None:
    """The step stays open: there is more than one person in an office."""
    return _save(request, None, NewUserForm(request.POST, prefix=Step.USERS))


def _choose_sending(request: HttpRequest) -> forms.Form | None:
    return _save(request, Step.SENDING, SendingForm(request.POST, prefix=Step.SENDING))


def _save(request: HttpRequest, step: Step | None, form: DomainForm | NewUserForm | SendingForm) -> forms.Form | None:
    """None when it is saved; else the form with its complaints."""
    if not form.is_valid():
        return form
    try:
        messages.success(request, form.save())
    except InvalidInput as error:
        for name, sentences in error.messages.items():
            for sentence in sentences:
                place = "server" if name == "servers" else name
                form.add_error(place if place in form.fields else None, sentence)
        return form
    if step is not None:
        _mark(step, done=True)
    return None


def _send_test(request: HttpRequest) -> forms.Form | None:
    form = TestMessageForm(request.POST, prefix=Step.TEST)
    if not form.is_valid():
        return form
    try:
        assert isinstance(request.user, User)
        ref = send_test_message(request.user, form.cleaned_data["user"])
    except (InvalidInput, MailError) as error:
        tell_refusal(request, error)
        return form
    where = reverse("admin:journey", args=[ref])
    messages.success(
        request, format_html('It was delivered. <a class="pb-link" href="{}">See where it went</a>.', where)
    )
    _mark(Step.TEST, done=True)
    return None


def send_test_message(sender: User, user: User) -> str:
    """Put a test message into the user's Inbox, through the store as any other; gives the journey's id."""
    store = open_store()
    try:
        inbox = store.get_mailbox(UserId(user.pk), "INBOX")
        message = OwnMessage(
            ref=next_ref(),
            source="console",
            sender=sender.address,
            sender_name=sender.get_full_name(),
            recipient=user.address,
            recipient_name=user.full_name,
            subject="Test message from your mail server",
            text=TEST_TEXT.format(address=user.address),
            detail="Test message from the console",
        )
        store.submit(build_own_unit(message, inbox.id, clock.now())).result()
    finally:
        store.close()
    return message.ref


ACTIONS: dict[Step, Callable[[HttpRequest], forms.Form | None]] = {
    Step.DOMAIN: _add_domain,
    Step.USERS: _add_user,
    Step.ARRIVAL: lambda request: None,
    Step.SENDING: _choose_sending,
    Step.TEST: _send_test,
}


def _find_step(name: str) -> Step | None:
    return next((step for step in Step if step.value == name), None)


def _steps_done() -> frozenset[Step]:
    words = get_setting(SETUP_DONE).split()
    return frozenset(step for step in Step if step.value in words)


def _mark(step: Step | None, *, done: bool) -> None:
    """Remember a step as done, or as not done; without a step, all of them."""
    changed = {step} if step else set(Step)
    now = _steps_done() | changed if done else _steps_done() - changed
    set_setting(SETUP_DONE.name, " ".join(each.value for each in Step if each in now))


def _place(step: Step | None) -> str:
    """The page, scrolled to the step."""
    return reverse("admin:setup") + (f"#step-{step.value}" if step else "")


def _doors() -> list[Door]:
    rows = Service.objects.filter(enabled=True).prefetch_related("bindings")
    return [
        Door(
            row.pk,
            row.name,
            tuple(str(binding) for binding in row.bindings.all()),
            any(binding.address not in LOOPBACK for binding in row.bindings.all()),
        )
        for row in rows
        if row.kind == ServiceKind.SMTP
    ]
