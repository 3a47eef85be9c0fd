# SPDX-License-Identifier: MIT
"""The console: Django's admin site under our theme, with the pages that are more than a table and a form."""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from admin_ui import access, certificate, general, journeys, oauth, queued_message, setup, status
from admin_ui.login import LoginForm
from admin_ui.own_password import own_password_page
from admin_ui.pages import Page, PageView
from admin_ui.unfolded import AdminSite

SETUP_SEEN = "setup_seen"
"""In the session: the set-up page opens by itself once after a log-in, not at each visit of the status page."""


class ConsoleSite(AdminSite):
    """Administrators only: `has_permission` asks the user for `is_staff`, which is the administrator flag."""

    site_title = site_header = "Pillarbox"
    login_form = LoginForm
    enable_nav_sidebar = True

    def extra_urls(self) -> list[URLPattern]:
        """The pages that belong to no table."""
        return [
            self._page("status/live/", status.status_fragment, "status-live"),
            self._page("status/end-session/", status.end_session, "end-session"),
            self._page("setup/", setup.setup_page, "setup"),
            self._page("where-is-my-mail/", journeys.journeys_page, "journeys"),
            self._page("where-is-my-mail/<str:ref>/", journeys.journey_page, "journey"),
            self._page("queue/<int:number>/", queued_message.queued_message_page, "queued-message"),
            self._page("queue/<int:number>/source/", queued_message.queued_source, "queued-source"),
            self._page("queue/<int:number>/change/", queued_message.change_queued, "queued-change"),
            self._page("access/", access.global_access, "global-access"),
            self._page("settings/", general.settings_page, "settings"),
            self._page("certificate/", certificate.certificate_page, "certificate"),
            self._page("oauth/callback/", oauth.callback, "oauth-callback"),
            self._page("oauth/<int:account>/", oauth.sign_in_page, "oauth-sign-in"),
            self._page("oauth/<int:account>/live/", oauth.sign_in_fragment, "oauth-live"),
            self._page("oauth/<int:account>/browser/", oauth.begin_in_browser, "oauth-browser"),
            self._page("oauth/<int:account>/device/", oauth.begin_on_device, "oauth-device"),
        ]

    def index(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The status page; until the set-up is done, first the set-up page."""
        if not request.session.get(SETUP_SEEN) and setup.is_unfinished():
            request.session[SETUP_SEEN] = True
            return HttpResponseRedirect(reverse("admin:setup"))
        return self._framed(request, status.status_page(request))

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's page for one application says nothing to an administrator."""
        return HttpResponseRedirect(reverse("admin:index"))

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One's own password, through the service that knows the rules."""
        answer = own_password_page(request)
        return self._framed(request, answer)

    def _page(self, route: str, view: PageView, name: str) -> URLPattern:
        def show(request: HttpRequest, **arguments: Any) -> HttpResponse:
            return self._framed(request, view(request, **arguments))

        return path(route, self.admin_view(update_wrapper(show, view)), name=name)

    def _framed(self, request: HttpRequest, answer: Page | HttpResponse) -> HttpResponse:
        if not isinstance(answer, Page):
            return answer
        context = {**self.each_context(request), "title": answer.title, "content_title": answer.title, **answer.context}
        return TemplateResponse(request, answer.template, context)


console = ConsoleSite(name="admin")
