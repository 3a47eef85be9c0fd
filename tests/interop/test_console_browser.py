# SPDX-License-Identifier: MIT
"""The console in a real Chromium, on a whole installation: what a person clicks, and how every page fits the screen.

Screenshots of every page, light and dark, wide and narrow, are left in the test's temporary folder (or in
PILLARBOX_SCREENSHOTS) for somebody to look at.
"""

from __future__ import annotations

import os
import poplib
import re
import smtplib
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.installation import Installation, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
PASSWORD = "three-odd-words"
WIDE, NARROW = 1440, 390
PATIENCE_MS = 15_000

PAGES = {
    "status": "/admin/",
    "setup": "/admin/setup/",
    "journeys": "/admin/where-is-my-mail/",
    "users": "/admin/users/user/",
    "user-add": "/admin/users/user/add/",
    "user": "/admin/users/user/1/change/",
    "domains": "/admin/addressing/domain/",
    "mailboxes": "/admin/store/mailbox/",
    "queue": "/admin/outqueue/queuedrecipient/",
    "connections": "/admin/connectors/connection/",
    "connection": "/admin/connectors/connection/1/change/",
    "collectors": "/admin/connectors/collector/",
    "collector-new": "/admin/connectors/collector/new/",
    "schedule": "/admin/connectors/scheduleitem/",
    "schedule-add": "/admin/connectors/scheduleitem/add/",
    "download-rule-add": "/admin/connectors/downloadrule/add/",
    "runs": "/admin/connectors/connectionrun/",
    "services": "/admin/config/service/",
    "service": "/admin/config/service/1/change/",
    "service-add": "/admin/config/service/add/",
    "pools": "/admin/config/bandwidthpool/",
    "access": "/admin/access/",
    "settings": "/admin/settings/",
    "dns-test": "/admin/settings/dns-test/",
    "certificate": "/admin/certificate/",
    "password": "/admin/password_change/",
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("browser") / "data") as running:
        running.manage("adduser", "chief", "--password", PASSWORD, "--admin")
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("PILLARBOX_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_console(
    chromium: Browser, installation: Installation, width: int = WIDE, scheme: str = "light"
) -> tuple[Page, list[str]]:
    """A page logged in as the administrator, and what its scripts complain of."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        base_url=f"http://127.0.0.1:{installation.web_port}",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto("/")
    page.fill("input[name=username]", "chief")
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.wait_for_url(re.compile(r"/admin/(setup/)?$"))
    return page, complaints


def greets(port: int, host: str = "127.0.0.1") -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=2) as client:
        return client.recv(100).startswith((b"+OK", b"220"))
    return False


def test_the_set_up_page_leads_to_mail_that_can_be_read(chromium: Browser, installation: Installation) -> None:
    page, complaints = open_console(chromium, installation)
    expect(page).to_have_url(re.compile("/admin/setup/$"))
    page.fill("#id_domain-name", "office.example")
    page.get_by_role("button", name="Use this domain").click()
    expect(page.locator("#step-domain")).to_contain_text("Done")

    page.fill("#id_users-name", "anna")
    page.fill("#id_users-full_name", "Anna Smith")
    page.fill("#id_users-password", "short")
    expect(page.locator("#step-users .pb-strength")).to_have_text("3 more characters are needed.")
    page.fill("#id_users-password", PASSWORD)
    page.get_by_role("button", name="Add this user").click()
    expect(page.locator("#step-users")).to_contain_text("anna@office.example")

    page.select_option("#id_test-user", label="anna@office.example")
    page.get_by_role("button", name="Send the test message").click()
    page.get_by_role("link", name="See where it went").click()
    expect(page.locator(".pb-timeline")).to_contain_text("Put into a mailbox")

    def subjects() -> list[str]:
        box = poplib.POP3("127.0.0.1", installation.port("pop3"), timeout=10)
        box.user("anna@office.example")
        box.pass_(PASSWORD)
        lines = [line.decode() for number in range(len(box.list()[1])) for line in box.retr(number + 1)[1]]
        box.quit()
        return [line for line in lines if line.startswith("Subject: Test message")]

    assert wait_until(subjects, 10, "the test message by POP3") == ["Subject: Test message from your mail server"]
    page.goto("/admin/setup/")
    page.get_by_role("button", name="Skip everything").click()
    expect(page.locator(".pb-page")).to_contain_text("Set-up is done")
    assert complaints == []
    page.context.close()


def test_a_user_is_created_and_receives_mail_at_once(chromium: Browser, installation: Installation) -> None:
    page, complaints = open_console(chromium, installation)
    page.goto("/admin/users/user/")
    page.locator("a.addlink").click()
    page.fill("#id_name", "bert")
    page.fill("#id_password", PASSWORD)
    page.fill("#id_password_again", "something-else")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#content-main")).to_contain_text("The two passwords are not the same")
    page.fill("#id_password", PASSWORD)
    page.fill("#id_password_again", PASSWORD)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list")).to_contain_text("bert@")
    address = page.locator("#result_list").get_by_text("bert@").inner_text()

    def is_accepted() -> bool:
        with smtplib.SMTP("127.0.0.1", installation.port("smtp"), timeout=10) as client:
            refused = client.sendmail("ola@elsewhere.example", [address], "Subject: Good morning\r\n\r\nHello\r\n")
            return not refused

    assert wait_until(lambda: _quietly(is_accepted), 5, "mail to the new user to be accepted")
    page.goto("/admin/where-is-my-mail/")
    page.fill("#words", "good morning")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".pb-table")).to_contain_text("Put into a mailbox")
    assert complaints == []
    page.context.close()


def _quietly(attempt: object) -> bool:
    with suppress(smtplib.SMTPException):
        return bool(attempt())  # type: ignore[operator]
    return False


def test_a_binding_changed_on_screen_is_served_within_seconds(chromium: Browser, installation: Installation) -> None:
    page, complaints = open_console(chromium, installation)
    port = free_port()
    page.goto("/admin/config/service/")
    page.get_by_role("link", name="POP3", exact=True).click()
    page.get_by_text("Add another Address and port").click()
    page.fill("#id_bindings-1-address", "127.0.0.1")
    page.fill("#id_bindings-1-port", str(installation.port("smtp")))
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("#content-main")).to_contain_text("already")
    page.fill("#id_bindings-1-port", str(port))
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("#id_bindings-1-port")).to_have_value(str(port))
    wait_until(lambda: greets(port), 5, "POP3 to answer at its new address")
    assert greets(installation.port("pop3")), "the old address is still served"
    page.goto("/admin/")
    row = page.locator(".pb-table tr", has_text=str(port))
    expect(row).to_contain_text("Listening")
    assert complaints == []
    page.context.close()


def test_the_status_page_shows_a_session_by_itself_and_ends_it(chromium: Browser, installation: Installation) -> None:
    page, complaints = open_console(chromium, installation)
    page.goto("/admin/")
    expect(page.locator("#live")).to_contain_text("Nobody is connected")
    client = smtplib.SMTP("127.0.0.1", installation.port("smtp"), timeout=20)
    page.get_by_role("button", name="End").click()
    expect(page.locator("body")).to_contain_text("is being ended")
    assert client.sock is not None
    assert b"421" in client.sock.recv(1000), "the client is told"
    client.close()
    expect(page.locator("#live")).to_contain_text("Nobody is connected")
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme", "other"), [(WIDE, "light", "dark"), (NARROW, "dark", "light")])
def test_every_page_fits_the_screen(
    chromium: Browser, installation: Installation, screenshots: Path, width: int, scheme: str, other: str
) -> None:
    """In either scheme: each page is opened in one, and then turned to the other as the theme does it."""
    page, complaints = open_console(chromium, installation, width, scheme)
    too_wide = []
    for name, address in PAGES.items():
        page.goto(address, wait_until="networkidle")
        for shown in (scheme, other):
            page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", shown == "dark")
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                too_wide.append(f"{name}, {shown}")
            page.screenshot(path=screenshots / f"{name}-{width}-{shown}.png", full_page=True)
    assert too_wide == []
    assert complaints == []
    page.context.close()


def test_the_menu_opens_on_a_narrow_screen(chromium: Browser, installation: Installation, screenshots: Path) -> None:
    page, _ = open_console(chromium, installation, NARROW)
    page.goto("/admin/")
    menu = page.get_by_role("link", name="Where is my mail?")
    expect(menu).to_be_hidden()
    page.locator("span.material-symbols-outlined:visible", has_text="dock_to_right").click()
    expect(menu).to_be_visible()
    page.screenshot(path=screenshots / f"menu-{NARROW}.png")
    menu.click()
    expect(page).to_have_url(re.compile("/admin/where-is-my-mail/$"))
    page.context.close()
