# SPDX-License-Identifier: MIT
"""Admin pages whose saving and deleting are calls of a service.

A service that refuses raises InvalidInput from inside Django's own transaction: nothing has happened then, and the
form is shown once more with each sentence at the field that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db import transaction
from django.db.models import Field, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from admin_ui.pages import explain, tell_refusal
from admin_ui.unfolded import ModelAdmin, ModelForm
from mailserver.errors import InvalidInput, MailError

M = TypeVar("M", bound=Model)
REFUSAL = "pillarbox.refusal"
"""Where a request remembers what the service said, in its META."""


class ServiceForm(ModelForm[M]):
    """Adds what the service refused to its own errors."""

    refusal: ClassVar[Mapping[str, Sequence[str]]] = {}
    places: ClassVar[Mapping[str, str]] = {}
    """What a part of the object that is no field of the form is called on screen."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        for place, sentences in self.refusal.items():
            part = f"{self.places[place]}: " if place in self.places else ""
            for sentence in sentences:
                self.add_error(place if place in self.fields else None, f"{part}{sentence}")


class ServiceAdmin(ModelAdmin[M]):
    """Subclasses call a service in `save_model` and `delete_model`, and never save the instance themselves."""

    form: type[ModelForm[M]] = ServiceForm

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form; a second time, with the reasons, when the service refused."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except InvalidInput as refusal:
            request.META[REFUSAL] = refusal.messages
        except MailError as error:
            request.META[REFUSAL] = {"": explain(error)}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any) -> Any:
        """The form class; its errors include what the service has just refused."""
        form = super().get_form(request, obj, change=change, **kwargs)
        refusal = request.META.get(REFUSAL)
        return type(form.__name__, (form,), {"refusal": refusal}) if refusal else form

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """The field without the pop-up windows in which related objects could be edited on the way."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asks and deletes; back to the object with the reason when the service refused."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except (InvalidInput, MailError) as error:
            tell_refusal(request, error)
        return HttpResponseRedirect(self._url("change", object_id))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; an action that a service refuses is explained above it."""
        try:
            return super().changelist_view(request, extra_context)
        except (InvalidInput, MailError) as error:
            tell_refusal(request, error)
        return HttpResponseRedirect(request.get_full_path())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        """All of them, or none when one is refused."""
        with transaction.atomic():
            for instance in queryset:
                self.delete_model(request, instance)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What the question before a deletion lists: one sentence each, never every row that hangs on it."""
        sentences = [self.describe_deletion(instance) for instance in objs]
        return sentences, {str(self.opts.verbose_name_plural): len(sentences)}, set(), []

    def describe_deletion(self, instance: M) -> str:
        """What will be gone, in a sentence."""
        return str(instance)

    def _url(self, page: str, *arguments: object) -> str:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=arguments)
