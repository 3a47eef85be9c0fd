# SPDX-License-Identifier: MIT
"""Users in the console: the list with what each one has stored, and one form for everything about a user.

Spec users 1.1 to 1.3. Creating, changing and deleting are calls of `mailserver.users.services`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.totals import with_mail_totals
from admin_ui.unfolded import CheckboxInput, CheckboxSelectMultiple, PasswordInput
from mailserver.addressing.models import Domain
from mailserver.addressing.services import default_domain
from mailserver.config.catalog import MIN_PASSWORD_LENGTH
from mailserver.config.stored import get_setting
from mailserver.errors import InvalidInput
from mailserver.users import services
from mailserver.users.models import User
from mailserver.values import Protocol

PROTOCOL_LABELS: dict[str, str] = {
    Protocol.SMTP.value: "Send mail (SMTP)",
    Protocol.POP3.value: "Collect mail (POP3)",
    Protocol.IMAP4.value: "Read mail on the server (IMAP4)",
    Protocol.WEB.value: "Log in to this console (administrators only)",
}
"""The protocols that exist so far; what a user is allowed of the others is kept as it stands."""

PASSWORD_HELP = "At least {length} characters, without spaces. Longer is better than stranger: three odd words do well."


class UserForm(ServiceForm[User]):
    """Everything about a user; on a new one the password is a must, later an empty one keeps the old."""

    password = forms.CharField(
        required=False, strip=False, widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )
    password_again = forms.CharField(
        required=False, strip=False, widget=PasswordInput(attrs={"autocomplete": "new-password"})
    )
    allowed_protocols = forms.MultipleChoiceField(
        required=False,
        choices=list(PROTOCOL_LABELS.items()),
        widget=CheckboxSelectMultiple(),
        label="May",
        help_text="What this user may use the account for.",
    )
    send_welcome = forms.BooleanField(
        required=False,
        initial=True,
        widget=CheckboxInput(),
        label="Send a welcome message",
        help_text="It waits in the new Inbox. Its text is among the general settings.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        length = get_setting(MIN_PASSWORD_LENGTH)
        self.fields["comments"].widget.attrs["rows"] = 3
        self.fields["allowed_protocols"].initial = list(PROTOCOL_LABELS)
        password = self.fields["password"]
        password.widget.attrs["data-password-minimum"] = str(length)
        password.help_text = PASSWORD_HELP.format(length=length)
        if self.instance.pk:
            password.label = "New password"
            password.help_text += " Leave it empty to keep the present one."
            self.initial["password"] = ""
            del self.fields["send_welcome"]
        else:
            password.required = self.fields["password_again"].required = True

    def clean(self) -> dict[str, Any]:
        """Both passwords must be the same; allowances for protocols that are not on the form stay."""
        data = super().clean() or self.cleaned_data
        if data.get("password", "") != data.get("password_again", ""):
            self.add_error("password_again", ValidationError("The two passwords are not the same. Type them again."))
        unseen = set(self.instance.allowed_protocols) - set(PROTOCOL_LABELS)
        data["allowed_protocols"] = sorted({*data.get("allowed_protocols", ()), *unseen})
        return data

    def _post_clean(self) -> None:
        """The model never sees the typed password: the service turns it into what is stored."""
        typed = self.cleaned_data.pop("password", "")
        super()._post_clean()
        self.cleaned_data["password"] = typed

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), "password"}  # type: ignore[misc]


@admin.register(User, site=console)
class UserAdmin(ServiceAdmin[User]):
    """The users' list and form."""

    form = UserForm
    list_display = ("account", "full_name", "inbox_messages", "stored_size", "comments")
    list_filter = ("is_admin", "is_active", "domain")
    search_fields = ("name", "address", "full_name", "comments")
    ordering = ("name", "domain_id")
    list_select_related = ("domain",)
    list_per_page = 50
    empty_title: ClassVar[str] = "No users here"
    empty_text: ClassVar[str] = "A user is somebody with a mailbox. Add one with the + button at the top of this page."
    compressed_fields = True
    warn_unsaved_form = True

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """A name and a domain are chosen once; afterwards they are part of other people's address books."""
        who = ("account_name",) if obj else ("name", "domain")
        password = ("password", "password_again") if obj else ("password", "password_again", "send_welcome")
        return (
            (None, {"fields": (*who, "full_name", "is_admin", "is_active", "comments")}),
            ("Password", {"fields": password}),
            (
                "Permissions",
                {"fields": ("allowed_protocols", "may_send_out", "max_outgoing_bytes", "keep_recoverable")},
            ),
            ("Sent mail", {"fields": ("send_priority", "hold_sent_seconds")}),
            ("Quota", {"fields": ("quota_megabytes",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return ("account_name",) if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The default domain is chosen already."""
        chosen = Domain.objects.filter(name=default_domain()).values_list("pk", flat=True).first()
        return {**super().get_changeform_initial_data(request), "domain": chosen}

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return with_mail_totals(super().get_queryset(request))

    @admin.display(description="Address")
    def account_name(self, user: User) -> str:
        """The address, which cannot be changed."""
        return user.address

    @admin.display(description="User", ordering="name")
    def account(self, user: User) -> SafeString:
        """The address with a label for everything that is out of the ordinary."""
        labels = [
            ("admin", "Administrator") if user.is_admin else None,
            ("off", "Disabled") if not user.is_active else None,
            ("note", "Internal mail only") if not user.may_send_out else None,
        ]
        tags = format_html_join("", '<span class="pb-tag pb-tag-{}">{}</span>', [label for label in labels if label])
        return format_html('<span class="pb-account">{}{}</span>', user.address, tags)

    @admin.display(description="Inbox", ordering="inbox_messages")
    def inbox_messages(self, user: User) -> str:
        """How many messages are in the Inbox."""
        return f"{getattr(user, 'inbox_messages', 0):,}"

    @admin.display(description="Size", ordering="stored_size")
    def stored_size(self, user: User) -> str:
        """What all folders together hold."""
        return filesizeformat(getattr(user, "stored_size", 0))

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Create or change through the service; nobody takes the console away from himself."""
        data = dict(form.cleaned_data)
        password = data.pop("password")
        fields = {name: data[name] for name in services.CHANGEABLE if name in data}
        if not change:
            domain: Domain = data["domain"]
            created = services.create_user(
                data["name"], password, domain=domain.name, send_welcome=data["send_welcome"], **fields
            )
            obj.__dict__.update(created.__dict__)
            return
        if obj.pk == request.user.pk:
            _refuse_locking_oneself_out(fields)
        services.update_user(obj.pk, **fields)
        if password:
            services.set_password(obj.pk, password)
            if obj.pk == request.user.pk:
                update_session_auth_hash(request, services.get_user(obj.pk))

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """The question before has said how many messages go as well."""
        if obj.pk == request.user.pk:
            raise InvalidInput({"": ["You cannot delete yourself. Let another administrator do it."]})
        services.delete_user(obj.pk, force=True)

    def describe_deletion(self, instance: User) -> str:
        totals = with_mail_totals(User.objects.filter(pk=instance.pk)).get()
        count = getattr(totals, "stored_messages", 0)
        if not count:
            return f"{instance.address}, who has no messages"
        size = filesizeformat(getattr(totals, "stored_size", 0))
        messages = "1 message" if count == 1 else f"{count:,} messages"
        return f"{instance.address} with {messages} ({size}), which cannot be brought back"


def _refuse_locking_oneself_out(fields: dict[str, Any]) -> None:
    reason = "You would lock yourself out. Let another administrator do it."
    problems = {name: [reason] for name in ("is_active", "is_admin") if not fields[name]}
    if Protocol.WEB.value not in fields["allowed_protocols"]:
        problems["allowed_protocols"] = [reason]
    if problems:
        raise InvalidInput(problems)
