# SPDX-License-Identifier: MIT
"""LAN forwarding in the console: its rules, and its own queue. Spec senders 10."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from admin_ui.outqueue import QueueAdmin
from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.unfolded import PasswordInput
from mailserver.lan import services
from mailserver.lan.models import LanForwardingRule
from mailserver.outqueue.models import LanQueuedRecipient, QueuedRecipient
from mailserver.outqueue.retargeting import change_target
from mailserver.store.interface import LanTarget


class RuleForm(ServiceForm[LanForwardingRule]):
    """The columns, and a password that is written and never shown."""

    new_password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Kept encrypted and never shown; empty leaves it as it is.",
    )


@admin.register(LanForwardingRule, site=console)
class LanForwardingRuleAdmin(ServiceAdmin[LanForwardingRule]):
    """The rules in the order in which they are tried."""

    form = RuleForm
    list_display = ("who", "server", "port", "rewrite", "condition", "comment", "position")
    ordering = ("position", "id")
    fields = (
        "addresses",
        "server",
        "port",
        "username",
        "new_password",
        "rewrite",
        "condition",
        "position",
        "comment",
    )
    empty_title: ClassVar[str] = "No rules yet"
    empty_text: ClassVar[str] = (
        "A rule sends mail for some addresses to another server in your network, such as that of a branch office or of"
        " a program. It goes there at once, whatever the schedule says."
    )

    @admin.display(description="Addresses", ordering="addresses")
    def who(self, rule: LanForwardingRule) -> str:
        return ", ".join(rule.addresses.split())[:120]

    def save_model(self, request: HttpRequest, obj: LanForwardingRule, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in self.fields if name != "new_password"}
        given = services.RuleInput(**values, password=form.cleaned_data["new_password"] or None)
        obj.pk = services.save_rule(given, obj.pk if change else None).pk

    def delete_model(self, request: HttpRequest, obj: LanForwardingRule) -> None:
        services.delete_rule(obj.pk)

    def describe_deletion(self, instance: LanForwardingRule) -> str:
        return f"The rule for {', '.join(instance.addresses.split())[:200]}"


@admin.register(LanQueuedRecipient, site=console)
class LanQueueAdmin(QueueAdmin):
    """What waits for servers of our own network."""

    list_display = (  # type: ignore[assignment]
        "recipient_address",
        "lan_server",
        "sender_address",
        "state",
        "tries",
        "answer",
        "since",
        "stored_size",
    )
    actions = (  # type: ignore[assignment]
        "hold_selected",
        "release_selected",
        "retry_selected",
        "delete_and_notify_selected",
    )
    empty_text: ClassVar[str] = "Messages that LAN forwarding has not delivered yet show up here."

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueuedRecipient]:
        return ServiceAdmin.get_queryset(self, request).filter(route=QueuedRecipient.Route.LAN)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Also, for each server that a rule names, to send there instead."""
        actions = super().get_actions(request)
        if actions and self.has_delete_permission(request):
            for rule in services.read_rules():
                target = LanTarget(rule.server, rule.login, rule.secret)
                name = f"send_to_{rule.id}"
                send_there: Any = partial(_send_there, target)
                actions[name] = (send_there, name, f"Send to {rule.server} instead")
        return actions


def _send_there(target: LanTarget, page: LanQueueAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    count = change_target(list(queryset.values_list("pk", flat=True)), target)
    recipients = "1 recipient goes" if count == 1 else f"{count} recipients go"
    messages.success(request, f"{recipients} to {target.server} now.")
