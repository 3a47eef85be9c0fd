# SPDX-License-Identifier: MIT
"""Notices on the event loop: who subscribed is called, in the loop's thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mailserver.notices import EVERYTHING, mailbox_notice, mailbox_topic
from protocols.net.notices import Notices
from tests.support.told import Told
from tests.support.waiting import until


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    assert made.closed


async def test_only_the_topics_asked_for(told: Told) -> None:
    notices, calls = Notices(told), []
    notices.subscribe("mailbox:1", lambda: calls.append(("mailbox:1", threading.current_thread())))
    notices.subscribe("settings", lambda: calls.append(("settings", threading.current_thread())))
    told.say("mailbox:2", "settings")
    await until(lambda: calls, 5, "the call")
    assert calls == [("settings", threading.main_thread())]
    notices.close()


async def test_lost_notices_mean_every_topic(told: Told) -> None:
    notices, calls = Notices(told), []
    for topic in ("mailbox:1", "settings"):
        notices.subscribe(topic, lambda topic=topic: calls.append(topic))  # type: ignore[misc]
    told.say(EVERYTHING)
    await until(lambda: len(calls) == 2, 5, "both calls")
    notices.close()


async def test_who_knows_the_version_is_not_told_of_it(told: Told) -> None:
    notices, calls = Notices(told), []
    notices.subscribe("mailbox:1", lambda: calls.append("behind"), lambda: 6)
    notices.subscribe("mailbox:1", lambda: calls.append("knows"), lambda: 7)
    notices.subscribe("mailbox:1", lambda: calls.append("asks always"))
    told.say(mailbox_notice(1, 7))
    await until(lambda: calls, 5, "the calls")
    assert calls == ["behind", "asks always"]
    told.say(mailbox_topic(1))
    await until(lambda: len(calls) == 5, 5, "the calls for a notice without a version")
    notices.close()


async def test_ended_subscription_is_not_called(told: Told) -> None:
    notices, calls = Notices(told), []
    notices.subscribe("settings", lambda: calls.append("first"))()
    notices.subscribe("settings", lambda: calls.append("second"))
    told.say("settings")
    await until(lambda: calls, 5, "the call")
    assert calls == ["second"]
    notices.close()


async def test_waiting_ends_with_the_topic_or_the_time(told: Told) -> None:
    notices = Notices(told)
    told.say("settings")
    assert await notices.wait("settings", timeout_seconds=5)
    assert not await notices.wait("settings", timeout_seconds=0.01)
    notices.close()
