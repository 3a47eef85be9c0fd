# SPDX-License-Identifier: MIT
"""How the console looks and how its pages are grouped: django-unfold's settings.

Read by `mailserver.project.settings`, so nothing here may need Django to be set up: addresses are lazy.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _logo(request: HttpRequest) -> str:
    return static("console/pillarbox.svg")


def _stylesheet(request: HttpRequest) -> str:
    return static("console/console.css")


def _script(request: HttpRequest) -> str:
    return static("console/console.js")


def _item(title: str, icon: str, view: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{view}")}


NAVIGATION: list[dict[str, Any]] = [
    {
        "title": "Status",
        "items": [
            _item("What is running", "monitor_heart", "index"),
            _item("Where is my mail?", "travel_explore", "journeys"),
            _item("Set-up", "checklist", "setup"),
        ],
    },
    {
        "title": "Users and domains",
        "items": [
            _item("Users", "group", "users_user_changelist"),
            _item("Domains", "domain", "addressing_domain_changelist"),
        ],
    },
    {
        "title": "Mail",
        "items": [
            _item("Mailboxes", "inbox", "store_mailbox_changelist"),
            _item("Outgoing queue", "outbox", "outqueue_queuedrecipient_changelist"),
        ],
    },
    {
        "title": "Outside",
        "items": [
            _item("Connections", "hub", "connectors_connection_changelist"),
            _item("Collectors", "move_to_inbox", "connectors_collector_changelist"),
            _item("Schedule", "schedule", "connectors_scheduleitem_changelist"),
            _item("Download rules", "rule", "connectors_downloadrule_changelist"),
            _item("LAN forwarding", "lan", "lan_lanforwardingrule_changelist"),
            _item("LAN forwarding queue", "lan", "outqueue_lanqueuedrecipient_changelist"),
            _item("OAuth2 accounts", "key", "connectors_oauthaccount_changelist"),
            _item("History", "history", "connectors_connectionrun_changelist"),
        ],
    },
    {
        "title": "Services",
        "items": [
            _item("Services", "dns", "config_service_changelist"),
            _item("Access for all services", "shield", "global-access"),
            _item("Bandwidth pools", "speed", "config_bandwidthpool_changelist"),
            _item("Hidden capabilities", "visibility_off", "config_capabilityhiding_changelist"),
        ],
    },
    {
        "title": "Settings",
        "items": [
            _item("General settings", "tune", "settings"),
            _item("Certificate", "verified_user", "certificate"),
        ],
    },
]

NEUTRAL = {
    "50": "oklch(98.4% .003 225)",
    "100": "oklch(96.4% .005 225)",
    "200": "oklch(92.2% .008 225)",
    "300": "oklch(86.6% .012 225)",
    "400": "oklch(70.4% .02 228)",
    "500": "oklch(53.5% .024 230)",
    "600": "oklch(43.6% .026 230)",
    "700": "oklch(36.4% .027 232)",
    "800": "oklch(27.2% .025 234)",
    "900": "oklch(21.2% .022 236)",
    "950": "oklch(14.2% .018 238)",
}
PETROL = {
    "50": "oklch(97.6% .012 210)",
    "100": "oklch(94.2% .026 210)",
    "200": "oklch(88.6% .048 210)",
    "300": "oklch(80.4% .074 212)",
    "400": "oklch(72.4% .09 214)",
    "500": "oklch(62.6% .096 216)",
    "600": "oklch(49.4% .086 220)",
    "700": "oklch(42.8% .076 222)",
    "800": "oklch(36.6% .064 224)",
    "900": "oklch(31.4% .052 226)",
    "950": "oklch(23.2% .04 228)",
}
"""White text on 600 and 600 on white both reach a contrast of 5.5 to 1."""

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Pillarbox",
    "SITE_HEADER": "Pillarbox",
    "SITE_SUBHEADER": "Mail server",
    "SITE_URL": None,
    "SITE_ICON": _logo,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _logo}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "COLORS": {"base": NEUTRAL, "primary": PETROL},
    "STYLES": [_stylesheet],
    "SCRIPTS": [_script],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": NAVIGATION},
}
