# SPDX-License-Identifier: MIT
"""The console: Django's admin site under our theme, with the pages that are more than a table and a form."""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from admin_ui import (
    access,
    certificate,
    connecting,
    general,
    journeys,
    oauth,
    queued_message,
    remote_tests,
    run_pages,
    setup,
    status,
)
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
            self.page("status/live/", status.status_fragment, "status-live"),
            self.page("status/end-session/", status.end_session, "end-session"),
            self.page("setup/", setup.setup_page, "setup"),
            self.page("where-is-my-mail/", journeys.journeys_page, "journeys"),
            self.page("where-is-my-mail/<str:ref>/", journeys.journey_page, "journey"),
            self.page("queue/<int:number>/", queued_message.queued_message_page, "queued-message"),
            self.page("queue/<int:number>/source/", queued_message.queued_source, "queued-source"),
            self.page("queue/<int:number>/change/", queued_message.change_queued, "queued-change"),
            self.page("access/", access.global_access, "global-access"),
            self.page("settings/", general.settings_page, "settings"),
            self.page("certificate/", certificate.certificate_page, "certificate"),
            self.page("oauth/callback/", oauth.callback, "oauth-callback"),
            self.page("oauth/<int:account>/", oauth.sign_in_page, "oauth-sign-in"),
            self.page("oauth/<int:account>/live/", oauth.sign_in_fragment, "oauth-live"),
            self.page("oauth/<int:account>/browser/", oauth.begin_in_browser, "oauth-browser"),
            self.page("oauth/<int:account>/device/", oauth.begin_on_device, "oauth-device"),
            self.page("connect-now/", connecting.connect_now, "connect-now"),
            self.page("runs/<int:run>/", run_pages.run_page, "run"),
            self.page("runs/<int:run>/live/", run_pages.run_fragment, "run-live"),
            self.page("runs/<int:run>/stop/", connecting.stop_run, "run-stop"),
            self.page("settings/dns-test/", remote_tests.dns_test, "dns-test"),
            self.page("tests/<int:test>/live/", remote_tests.test_fragment, "test-live"),
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

    def page(self, route: str, view: PageView, name: str) -> URLPattern:
        """An address for a view that answers with a Page; tables use it for pages of their own."""

        def show(request: HttpRequest, **arguments: Any) -> HttpResponse:
            return self._framed(request, view(request, **arguments))

        return path(route, self.admin_view(update_wrapper(show, view)), name=name)

    def _framed(self, request: HttpRequest, answer: Page | HttpResponse) -> HttpResponse:
        if not isinstance(answer, Page):
            return answer
        context = {**self.each_context(request), "title": answer.title, "content_title": answer.title, **answer.context}
        return TemplateResponse(request, answer.template, context)


console = ConsoleSite(name="admin")
