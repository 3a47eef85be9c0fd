# SPDX-License-Identifier: MIT
"""Local domains in the console. Changes are calls of `mailserver.addressing.services`."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from admin_ui.saving import ServiceAdmin
from admin_ui.site import console
from mailserver.addressing import services
from mailserver.addressing.models import Domain


@admin.register(Domain, site=console)
class DomainAdmin(ServiceAdmin[Domain]):
    """Domains are added and deleted; a name that is wrong is deleted and added again."""

    list_display = ("domain", "user_count")
    search_fields = ("name",)
    ordering = ("id",)
    fields = ("name",)
    empty_title: ClassVar[str] = "No domains yet"
    empty_text: ClassVar[str] = (
        "A domain is the part of your addresses after the @. Add it with the + button, then add the users in it."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        is_default = ExpressionWrapper(Q(name=services.default_domain()), output_field=BooleanField())
        return super().get_queryset(request).annotate(user_count=Count("users"), is_default=is_default)

    def has_change_permission(self, request: HttpRequest, obj: Domain | None = None) -> bool:
        """A domain in use cannot change its name; there is nothing else to change."""
        return False

    @admin.display(description="Domain", ordering="name")
    def domain(self, domain: Domain) -> SafeString:
        """The name, marked when it is the one for everything that names no domain."""
        if not getattr(domain, "is_default", False):
            return format_html("{}", domain.name)
        return format_html('<span class="pb-account">{}<span class="pb-tag">Default</span></span>', domain.name)

    @admin.display(description="Users", ordering="user_count")
    def user_count(self, domain: Domain) -> str:
        return f"{getattr(domain, 'user_count', 0):,}"

    def save_model(self, request: HttpRequest, obj: Domain, form: Any, change: bool) -> None:
        obj.__dict__.update(services.add_domain(form.cleaned_data["name"]).__dict__)

    def delete_model(self, request: HttpRequest, obj: Domain) -> None:
        services.delete_domain(obj.name)
