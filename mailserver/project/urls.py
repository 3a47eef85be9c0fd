# SPDX-License-Identifier: MIT
"""The console's addresses, and those that monitoring programs ask (design section 3)."""

from django.urls import path
from django.views.generic import RedirectView

from admin_ui.admin import console
from admin_ui.health import healthz, metrics

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", console.urls),
    path("healthz", healthz),
    path("metrics", metrics),
]
