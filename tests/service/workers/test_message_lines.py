# SPDX-License-Identifier: MIT
"""Scripts that look at each line of what POP3 collects (spec connectors 4.11)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.connectors.values import Credentials, LoginMethod, Outcome
from mailserver.hooks.events import MessageListed
from mailserver.hooks.interface import Hooks
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.evil_pop3 import PASSWORD, EvilPop3
from workers.message_lines import MAX_LINE_BYTES

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LOGIN = Credentials(LoginMethod.AUTOMATIC, "office", PASSWORD)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


class Reading(Hooks):
    """Writes down each line, and changes one."""

    def __init__(self, wants_lines: bool) -> None:
        self.wants_lines = wants_lines
        self.raw: dict[str, list[bytes]] = {}
        self.lines: list[bytes] = []

    async def on_message_line_raw(self, event: MessageListed, line: bytes) -> None:
        self.raw.setdefault(event.key, []).append(line)

    async def on_message_line(self, event: MessageListed, line: bytes) -> bytes | None:
        self.lines.append(line)
        return b"Subject: Message 7" if line == b"Subject: Message 2" else None


def test_scripts_see_each_line_and_change_it(office: CollectingOffice) -> None:
    office.hooks = hooks = Reading(wants_lines=True)
    texts = [make_message(1), make_message(2) + b"x" * 150_000 + b"\r\nlast\r\n"]
    with EvilPop3(list(texts)) as evil:
        assert office.collect(office.collector(evil.port, credentials=LOGIN)).outcome is Outcome.OK
    assert [b"".join(lines) for lines in hooks.raw.values()] == texts
    assert next(iter(hooks.raw.values())) == texts[0].splitlines(keepends=True)
    assert max(map(len, hooks.lines)) == MAX_LINE_BYTES
    assert not any(line.endswith(b"\n") for line in hooks.lines)
    assert office.subjects("alice") == ["Message 1", "Message 7"]
    assert b"x" * 150_000 + b"\r\nlast\r\n" in office.messages("alice")[1]


def test_scripts_that_want_no_lines_are_not_asked(office: CollectingOffice) -> None:
    office.hooks = hooks = Reading(wants_lines=False)
    with EvilPop3([make_message(1), make_message(2)]) as evil:
        assert office.collect(office.collector(evil.port, credentials=LOGIN)).outcome is Outcome.OK
    assert (hooks.raw, hooks.lines, len(office.messages("alice"))) == ({}, [], 2)
