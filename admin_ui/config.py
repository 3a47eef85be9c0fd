# SPDX-License-Identifier: MIT
"""Services and bandwidth pools in the console.

Spec services 1.2 to 1.4 and 5. The form of a service is made from its columns and from the options that the
catalogue has for its kind; saving is one call of `mailserver.config.services`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from admin_ui.access import AT_THE_END, UserChoosingForm, allow_field, rules_of, with_user_choices
from admin_ui.fields import form_field
from admin_ui.local_addresses import is_address_of_this_machine
from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.unfolded import ModelForm, Select, SelectMultiple, TabularInline
from mailserver.config import services
from mailserver.config.building import read_access
from mailserver.config.catalog import SERVICE_TEMPLATES, ServiceKind
from mailserver.config.listening import FIELDS
from mailserver.config.models import AccessRule, BandwidthPool, Binding, Service
from mailserver.config.snapshot import Binding as BindingValue
from mailserver.security.networks import trusts_strangers
from mailserver.users.models import User
from mailserver.values import Protocol

KIND_LABELS: dict[ServiceKind, str] = {
    ServiceKind.SMTP: "SMTP: receives mail from other servers, and from programs in your office",
    ServiceKind.SUBMISSION: "Submission: mail programs send through it after logging in",
    ServiceKind.SMTPS: "SMTPS: the same as submission, encrypted from the first byte",
    ServiceKind.POP3: "POP3: mail programs collect mail",
    ServiceKind.POP3S: "POP3S: the same, encrypted from the first byte",
    ServiceKind.IMAP4: "IMAP4: mail programs and telephones work with folders on the server",
    ServiceKind.IMAPS: "IMAPS: the same, encrypted from the first byte",
}
PLACES = {"access_rules": "Access rules", "bindings": "Where it listens"}
"""What the parts of a service that are lists are called on screen."""
EACH_PROCESS = "Where several mail processes run (--workers), each of them counts for itself."
COUNTED_BY_EACH_PROCESS = ("max_sessions", "max_sessions_per_address", "bandwidth_pool")


class NewServiceForm(ServiceForm[Service]):
    """The least that a new service needs; the rest is on its own page afterwards."""

    service_kind = forms.ChoiceField(
        label="Kind", choices=[(kind.value, label) for kind, label in KIND_LABELS.items()], widget=Select()
    )
    places = PLACES


class ExistingServiceForm(ServiceForm[Service]):
    """The columns of a service; `form_for_kind` adds the options."""

    bandwidth_pool = forms.TypedChoiceField(
        coerce=int,
        empty_value=None,
        required=False,
        widget=Select(),
        help_text="Every connection of the pool shares its allowance. Pools are made under Bandwidth pools.",
    )
    option_names: ClassVar[tuple[str, ...]] = ()
    places = PLACES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in COUNTED_BY_EACH_PROCESS:
            self.fields[name].help_text += f" {EACH_PROCESS}"
        pools = [(str(pool.number), f"{pool.number}: {pool}") for pool in BandwidthPool.objects.all()]
        pool_field = self.fields["bandwidth_pool"]
        assert isinstance(pool_field, forms.ChoiceField)
        pool_field.choices = [("", "Choose a pool" if pools else "There is no pool yet"), *pools]
        for setting in SERVICE_TEMPLATES[ServiceKind(self.instance.kind)].options:
            self.initial.setdefault(setting.name, self.instance.options.get(setting.name, setting.default))


@cache
def form_for_kind(kind: ServiceKind) -> type[ExistingServiceForm]:
    """The form class with the options that mean something for this kind."""
    options = {setting.name: form_field(setting, tell_effect=False) for setting in SERVICE_TEMPLATES[kind].options}
    return type("ExistingServiceForm", (ExistingServiceForm,), {**options, "option_names": tuple(options)})


class BindingInline(TabularInline[Binding, Service]):
    """Where the service listens."""

    model = Binding
    extra = 0
    verbose_name = "address and port"
    verbose_name_plural = "Where it listens"
    hide_title = True

    def get_extra(self, request: HttpRequest, obj: Service | None = None, **kwargs: Any) -> int:
        """A new service starts with a line to fill in."""
        return 0 if obj else 1


class AccessRuleInlineForm(UserChoosingForm, ModelForm[AccessRule]):
    """A line of the service's list, written as the global list writes it."""

    allow = allow_field()
    users = forms.ModelMultipleChoiceField(
        label="Only these users", queryset=User.objects.all(), required=False, widget=SelectMultiple()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance.pk:
            self.initial["position"] = AT_THE_END


class AccessRuleInline(TabularInline[AccessRule, Service]):
    """Who may connect. Drag the lines into the order in which they are tried."""

    model = AccessRule
    form = AccessRuleInlineForm
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    hide_title = True
    verbose_name = "rule"
    verbose_name_plural = "Who may connect"
    template_before = "console/rules_explained.html"

    def get_formset(self, request: HttpRequest, obj: Service | None = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, **{**kwargs, "form": with_user_choices(AccessRuleInlineForm)})

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessRule]:
        return super().get_queryset(request).prefetch_related("users")

    def get_fields(self, request: HttpRequest, obj: Service | None = None) -> tuple[str, ...]:
        """Work without logging in exists only where mail is sent."""
        smtp = obj is not None and SERVICE_TEMPLATES[ServiceKind(obj.kind)].protocol == "smtp"
        without_login = ("allow_unauthenticated",) if smtp else ()
        return ("position", "allow", "matches", "network", *without_login, "users", "comment")


@admin.register(Service, site=console)
class ServiceRowAdmin(ServiceAdmin[Service]):
    """The list of services, and everything about one."""

    list_display = ("service", "listens_on", "encryption_label", "state")
    ordering = ("id",)
    change_form_show_cancel_button = True
    warn_unsaved_form = True
    conditional_fields: ClassVar[dict[str, str]] = {
        "bandwidth_bytes": "bandwidth == 'custom'",
        "bandwidth_pool": "bandwidth == 'pool'",
    }
    empty_title: ClassVar[str] = "No services"
    empty_text: ClassVar[str] = "A service is a door through which mail comes and goes. Add one with the + button."

    def get_inlines(self, request: HttpRequest, obj: Service | None) -> list[Any]:
        return [BindingInline, AccessRuleInline] if obj else [BindingInline]

    def get_form(self, request: HttpRequest, obj: Service | None = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = form_for_kind(ServiceKind(obj.kind)) if obj else NewServiceForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Service | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("service_kind", "name", "enabled")}),)
        template = SERVICE_TEMPLATES[ServiceKind(obj.kind)]
        options = tuple(setting.name for setting in template.options)
        return (
            (None, {"fields": ("name", "enabled", "log_sessions", "use_global_access")}),
            _tab("Encryption", "encryption", "require_encrypted_login"),
            _tab("Limits", "max_sessions", "max_sessions_per_address", "idle_timeout_seconds"),
            _tab("Bandwidth", "bandwidth", "bandwidth_bytes", "bandwidth_pool"),
            _tab(f"{template.protocol.upper()} options", *options),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        return super().get_queryset(request).prefetch_related("bindings")

    @admin.display(description="Service", ordering="name")
    def service(self, service: Service) -> str:
        return service.name

    @admin.display(description="Listens on")
    def listens_on(self, service: Service) -> SafeString:
        """One line for each address and port."""
        lines = format_html_join("", "<span>{}</span>", [(str(binding),) for binding in service.bindings.all()])
        return format_html('<span class="pb-lines">{}</span>', lines or "nowhere")

    @admin.display(description="Encryption", ordering="encryption")
    def encryption_label(self, service: Service) -> str:
        return service.get_encryption_display()

    @admin.display(description="State", ordering="enabled")
    def state(self, service: Service) -> SafeString:
        """Whether it is meant to listen; whether it really does is on the status page."""
        kind, text = ("ok", "On") if service.enabled else ("off", "Off")
        return format_html('<span class="pb-tag pb-tag-{}">{}</span>', kind, text)

    def save_model(self, request: HttpRequest, obj: Service, form: Any, change: bool) -> None:
        """Nothing: `save_related` saves the service whole, with its lists."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Columns, options, bindings and rules in one call."""
        lists: dict[type[Any], list[dict[str, Any]]] = {AccessRule: []}
        for formset in formsets:
            formset.save(commit=False)
            lists[formset.model] = _lines(formset)
        bindings = [BindingValue(line["address"], line["port"]) for line in lists[Binding]]
        data = form.cleaned_data
        if change:
            services.update_service(
                form.instance.pk,
                fields={name: data[name] for name in FIELDS},
                options={name: data[name] for name in form.option_names},
                bindings=bindings,
                access_rules=rules_of(lists[AccessRule]),
            )
        else:
            form.instance.pk = services.create_service(
                ServiceKind(data["service_kind"]), name=data["name"], bindings=bindings, enabled=data["enabled"]
            )
        _warn_of_strange_addresses(request, bindings)
        _warn_of_open_relay(request, form.instance.pk)

    def response_add(self, request: HttpRequest, obj: Service, post_url_continue: str | None = None) -> HttpResponse:
        """On to the rest of its settings."""
        messages.success(request, f"{obj} was added with the usual settings. Here they are.")
        return HttpResponseRedirect(self._url("change", obj.pk))

    def delete_model(self, request: HttpRequest, obj: Service) -> None:
        services.delete_service(obj.pk)

    def describe_deletion(self, instance: Service) -> str:
        return f"{instance.name} with its settings; sessions that are open on it end"


class PoolForm(ServiceForm[BandwidthPool]):
    """A pool's number is its name for services and scripts, so it never changes."""


@admin.register(BandwidthPool, site=console)
class BandwidthPoolAdmin(ServiceAdmin[BandwidthPool]):
    """Pools with an allowance; every other number from 1 to 1000 is unlimited (spec services 5.2)."""

    form = PoolForm
    list_display = ("pool", "allowance", "shared_by")
    fields = ("number", "name", "bytes_per_second")
    empty_title: ClassVar[str] = "No bandwidth pools"
    empty_text: ClassVar[str] = (
        "A pool is a limit that several services share, so that mail leaves room on your Internet line."
        " Add one with the + button, then choose it on the page of a service."
    )

    def get_readonly_fields(self, request: HttpRequest, obj: BandwidthPool | None = None) -> tuple[str, ...]:
        return ("number",) if obj else ()

    @admin.display(description="Pool", ordering="number")
    def pool(self, pool: BandwidthPool) -> str:
        return f"{pool.number}: {pool.name}" if pool.name else str(pool.number)

    @admin.display(description="Allowance", ordering="bytes_per_second")
    def allowance(self, pool: BandwidthPool) -> str:
        return f"{pool.bytes_per_second:,} bytes per second" if pool.bytes_per_second else "Unlimited"

    @admin.display(description="Shared by")
    def shared_by(self, pool: BandwidthPool) -> str:
        count = getattr(pool, "service_count", 0)
        return "no service" if not count else "1 service" if count == 1 else f"{count} services"

    def get_queryset(self, request: HttpRequest) -> QuerySet[BandwidthPool]:
        """With how many services share each pool."""
        sharing = Service.objects.filter(bandwidth=Service.Bandwidth.POOL, bandwidth_pool=OuterRef("number"))
        counted = sharing.order_by().values("bandwidth_pool").annotate(total=Count("pk")).values("total")
        return super().get_queryset(request).annotate(service_count=Coalesce(Subquery(counted), Value(0)))

    def save_model(self, request: HttpRequest, obj: BandwidthPool, form: Any, change: bool) -> None:
        services.set_pool(obj.number, obj.bytes_per_second, obj.name)

    def delete_model(self, request: HttpRequest, obj: BandwidthPool) -> None:
        services.delete_pool(obj.number)

    def describe_deletion(self, instance: BandwidthPool) -> str:
        return f"The limit of pool {instance.number}"


def _tab(title: str, *fields: str) -> tuple[str, dict[str, Any]]:
    return title, {"fields": fields, "classes": ["tab"]}


def _lines(formset: Any) -> list[dict[str, Any]]:
    """What was typed in the lines that shall stay, in their order on screen."""
    return [data for data in formset.cleaned_data if data and not data.get("DELETE")]


def _warn_of_strange_addresses(request: HttpRequest, bindings: list[BindingValue]) -> None:
    """Not refused: the address may belong to another machine that runs the services, or come back."""
    for binding in bindings:
        if not is_address_of_this_machine(binding.address):
            messages.warning(
                request,
                f"This machine has no address {binding.address}. The service will not listen there until it has;"
                " 0.0.0.0 stands for all addresses.",
            )


def _warn_of_open_relay(request: HttpRequest, service_id: int) -> None:
    """Not refused: a firewall may keep strangers away from this service (spec smtp-server 2.1, item 8)."""
    service = Service.objects.get(pk=service_id)
    if SERVICE_TEMPLATES[ServiceKind(service.kind)].protocol != Protocol.SMTP:
        return
    lists = read_access()
    shared = lists.get(None, ()) if service.use_global_access else ()
    if trusts_strangers(lists.get(service_id, ()), shared):
        messages.warning(
            request,
            f"{service.name} now lets strangers send mail to anybody without logging in, and will be used for spam."
            " Take 'without login' from the access rule that allows everybody.",
        )
