# SPDX-License-Identifier: MIT
"""Mailboxes in the console: what is in them, who else may use them, and the public ones.

Spec users 1.12, services 2.4. Users' folders are theirs, made and named with mail programs; what is done here is
sharing them, and making public folders.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat

from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.unfolded import ModelForm, Select, TabularInline
from mailserver.store import services
from mailserver.store.folder_data import AccessEntry
from mailserver.store.mailboxes import delete_mailbox
from mailserver.store.models import Mailbox, MailboxAccess
from mailserver.store.rights import sort_rights
from mailserver.users.models import User
from mailserver.values import MailboxId, UserId

LEVELS = (
    ("lrs", "Read"),
    ("lrsip", "Read, and file new messages"),
    ("lrswipte", "Read, file, change and delete messages"),
    ("lrswipkxte", "The same, and make and delete folders"),
    ("lrswipkxtea", "Everything, and share it with others"),
)
"""What rights mean to the people who share a folder; mail programs may set any other ones (RFC 4314 §2.1)."""


class AccessForm(ModelForm[MailboxAccess]):
    """A line of the list of those who may use the folder."""

    rights = forms.ChoiceField(label="May", choices=LEVELS, widget=Select())
    user = forms.ModelChoiceField(
        label="Who", queryset=User.objects.all(), required=False, empty_label="Every user", widget=Select()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        present = self.instance.rights
        field = self.fields["rights"]
        assert isinstance(field, forms.ChoiceField)
        if present and present not in dict(LEVELS):
            words = "May not" if self.instance.negative else "As a mail program has set it"
            field.choices = [(present, f"{words}: {present}"), *LEVELS]


class AccessInline(TabularInline[MailboxAccess, Mailbox]):
    """Who else may use the folder."""

    model = MailboxAccess
    form = AccessForm
    fields = ("user", "rights")
    extra = 0
    hide_title = True
    verbose_name = "somebody"
    verbose_name_plural = "Who else may use this folder"


class MailboxForm(ServiceForm[Mailbox]):
    """A new public folder has a name; everything else belongs to the mail programs."""


@admin.register(Mailbox, site=console)
class MailboxAdmin(ServiceAdmin[Mailbox]):
    """All folders of all users, and the public ones."""

    form = MailboxForm
    list_display = ("user_address", "folder", "message_count", "unseen_count", "stored_size")
    list_display_links = ("folder",)
    list_filter = ("special_use", "user")
    list_filter_submit = False
    search_fields = ("user__address", "name")
    ordering = ("user__address", "id")
    list_per_page = 50
    actions = None
    empty_title: ClassVar[str] = "No mailboxes here"
    empty_text: ClassVar[str] = "Every user gets an Inbox and five more folders when he or she is added."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        return super().get_queryset(request).select_related("user")

    def get_inlines(self, request: HttpRequest, obj: Mailbox | None) -> list[Any]:
        return [AccessInline] if obj else []

    def get_fieldsets(self, request: HttpRequest, obj: Mailbox | None = None) -> Any:
        if obj is None:
            text = 'Mail programs show it below "#public". Levels are separated by "/", as in News/2026.'
            return (("A public folder", {"fields": ("name",), "description": text}),)
        return ((None, {"fields": ("folder", "user_address", "message_count", "stored_size")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Mailbox | None = None) -> tuple[str, ...]:
        return ("folder", "user_address", "message_count", "stored_size") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Mailbox | None = None) -> bool:
        """Users' folders are theirs."""
        return obj is not None and obj.user_id is None and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Mailbox, form: Any, change: bool) -> None:
        if not change:
            made = services.create_public_folder(form.cleaned_data["name"])
            obj.pk = made.id
            obj.name = made.name

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The whole list in one call."""
        for formset in formsets:
            formset.save(commit=False)
            lines = [line for line in formset.forms if line.cleaned_data and not line.cleaned_data.get("DELETE")]
            services.replace_access(MailboxId(form.instance.pk), [_entry(line) for line in lines])

    def response_add(self, request: HttpRequest, obj: Mailbox, post_url_continue: str | None = None) -> HttpResponse:
        """On to the question who may use it."""
        self.message_user(request, f"{obj.name} was made. Now say who may use it.")
        return HttpResponseRedirect(self._url("change", obj.pk))

    def delete_model(self, request: HttpRequest, obj: Mailbox) -> None:
        delete_mailbox(MailboxId(obj.pk))

    def describe_deletion(self, instance: Mailbox) -> str:
        return f"The public folder {instance.name} with {instance.messages:,} messages, which cannot be brought back"

    @admin.display(description="User", ordering="user__address")
    def user_address(self, mailbox: Mailbox) -> str:
        return mailbox.user.address if mailbox.user else "Public"

    @admin.display(description="Folder", ordering="name")
    def folder(self, mailbox: Mailbox) -> str:
        return "Inbox" if mailbox.name == "INBOX" else mailbox.name

    @admin.display(description="Messages", ordering="messages")
    def message_count(self, mailbox: Mailbox) -> str:
        return f"{mailbox.messages:,}"

    @admin.display(description="Unread", ordering="unseen")
    def unseen_count(self, mailbox: Mailbox) -> str:
        return f"{mailbox.unseen:,}"

    @admin.display(description="Size", ordering="size")
    def stored_size(self, mailbox: Mailbox) -> str:
        return filesizeformat(mailbox.size)


def _entry(line: Any) -> AccessEntry:
    user: User | None = line.cleaned_data["user"]
    rights = sort_rights(line.cleaned_data["rights"])
    return AccessEntry(None if user is None else UserId(user.pk), rights, line.instance.negative)
