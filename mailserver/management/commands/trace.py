# SPDX-License-Identifier: MIT
"""`manage.py trace WORDS`: where is my mail?"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError

from mailserver.config.catalog import TIME_ZONE
from mailserver.config.services import get_setting
from mailserver.journey.services import SEARCH_LIMIT, FoundJourney, search
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """Show what happened to messages, the newest first."""

    help = (
        "Where is my mail? Shows what happened to each message that matches all of the words: part of an address, of"
        " the subject, of the message's id or its Message-ID, or the client's IP address. Without words: the newest."
        " Exit status 1 when nothing matches."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("words", nargs="*", metavar="WORD")
        parser.add_argument("--limit", type=int, default=SEARCH_LIMIT, help="at most so many messages (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        found = search(options["words"], max(1, options["limit"]))
        if not found:
            raise CommandError("Nothing is known of such a message.")
        zone = ZoneInfo(get_setting(TIME_ZONE))
        for journey in found:
            self._show(journey, zone)

    def _show(self, journey: FoundJourney, zone: ZoneInfo) -> None:
        record = journey.record
        subject = f"  {record.subject!r}" if record.subject else ""
        self.stdout.write(f"{record.ref}  {_moment(record.started, zone)}  from <{record.sender}>{subject}")
        origin = " ".join(part for part in (record.source, record.client, _login(record.login)) if part)
        self.stdout.write(f"    came by {origin}, {record.size} bytes {record.message_id}".rstrip())
        for step in journey.steps:
            about = "  ".join(part for part in (step.recipient, step.detail) if part)
            self.stdout.write(f"    {_moment(step.at, zone)}  {step.kind.value:9} {about}".rstrip())


def _login(login: str) -> str:
    return f"(logged in as {login})" if login else ""


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
