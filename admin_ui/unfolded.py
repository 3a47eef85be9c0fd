# SPDX-License-Identifier: MIT
"""The theme's classes under the types of the Django classes that they extend.

django-unfold carries no type information, and strict checking forbids to inherit from the unknown. Some of Django's
classes are generic only for the type checker: here they can be written with their model at run time as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite, ModelAdmin, TabularInline
    from django.contrib.admin.forms import AdminAuthenticationForm as AuthenticationForm
    from django.forms import (
        BaseFormSet,
        CheckboxInput,
        CheckboxSelectMultiple,
        ModelForm,
        NumberInput,
        PasswordInput,
        Select,
        SelectMultiple,
        TextInput,
    )
    from django.forms import Textarea as TextareaInput
else:
    from django import forms
    from unfold import admin
    from unfold.forms import AuthenticationForm
    from unfold.sites import UnfoldAdminSite as AdminSite
    from unfold.widgets import (
        UnfoldAdminCheckboxSelectMultipleWidget as CheckboxSelectMultiple,
    )
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as NumberInput
    from unfold.widgets import UnfoldAdminPasswordToggleWidget as PasswordInput
    from unfold.widgets import UnfoldAdminSelect2MultipleWidget as SelectMultiple
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as TextareaInput
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput
    from unfold.widgets import UnfoldBooleanSwitchWidget as CheckboxInput

    class _Generic:
        def __class_getitem__(cls, _parameters):
            return cls

    class ModelAdmin(_Generic, admin.ModelAdmin):
        pass

    class TabularInline(_Generic, admin.TabularInline):
        pass

    class ModelForm(_Generic, forms.ModelForm):
        pass

    class BaseFormSet(_Generic, forms.BaseFormSet):
        pass


__all__ = [
    "AdminSite",
    "AuthenticationForm",
    "BaseFormSet",
    "CheckboxInput",
    "CheckboxSelectMultiple",
    "ModelAdmin",
    "ModelForm",
    "NumberInput",
    "PasswordInput",
    "Select",
    "SelectMultiple",
    "TabularInline",
    "TextInput",
    "TextareaInput",
]
