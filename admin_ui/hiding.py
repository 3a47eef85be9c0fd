# SPDX-License-Identifier: MIT
"""Capabilities that IMAP4 keeps from some users or mail programs, for those that trip over one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from admin_ui.saving import ServiceAdmin
from admin_ui.site import console
from mailserver.config import services
from mailserver.config.models import CapabilityHiding


@admin.register(CapabilityHiding, site=console)
class CapabilityHidingAdmin(ServiceAdmin[CapabilityHiding]):
    """One line for each user or program and what it is not told of."""

    list_display = ("capabilities", "program", "who", "comment")
    fields = ("capabilities", "client", "user", "comment")
    ordering = ("id",)
    empty_title: ClassVar[str] = "Nothing is hidden"
    empty_text: ClassVar[str] = (
        "When a mail program fails with something that this server can do, it can be kept from it here: for one user,"
        " or for the program by the name that it gives itself. The session log shows what it says."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CapabilityHiding]:
        return super().get_queryset(request).select_related("user")

    @admin.display(description="Mail program", ordering="client")
    def program(self, hiding: CapabilityHiding) -> str:
        return hiding.client or "Any"

    @admin.display(description="User", ordering="user__address")
    def who(self, hiding: CapabilityHiding) -> str:
        return hiding.user.address if hiding.user else "Everybody"

    def save_model(self, request: HttpRequest, obj: CapabilityHiding, form: Any, change: bool) -> None:
        data = form.cleaned_data
        obj.pk = services.hide_capabilities(
            data["capabilities"],
            user=data["user"].pk if data["user"] else None,
            client=data["client"],
            comment=data["comment"],
            hiding_id=obj.pk if change else None,
        )

    def delete_model(self, request: HttpRequest, obj: CapabilityHiding) -> None:
        services.show_capabilities(obj.pk)

    def describe_deletion(self, instance: CapabilityHiding) -> str:
        return (
            f"The exception for {instance.client or 'every program'}: {instance.capabilities} will be announced again"
        )
