# SPDX-License-Identifier: MIT
"""The mailboxes of all users with what is in them: to look at, and to find out who fills the disk."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from admin_ui.site import console
from admin_ui.unfolded import ModelAdmin
from mailserver.store.models import Mailbox


@admin.register(Mailbox, site=console)
class MailboxAdmin(ModelAdmin[Mailbox]):
    """Read only: folders belong to the users, who change them with their mail programs."""

    list_display = ("user_address", "folder", "message_count", "unseen_count", "stored_size")
    list_display_links = None
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Mailbox | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Mailbox | None = None) -> bool:
        return False

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
