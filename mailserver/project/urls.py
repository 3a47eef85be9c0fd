# SPDX-License-Identifier: MIT
"""The console's addresses, and those that monitoring programs ask (design section 3)."""

from django.urls import path
from django.views.generic import RedirectView

from admin_ui.admin import console

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", console.urls),
]
