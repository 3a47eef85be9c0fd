# SPDX-License-Identifier: MIT
"""The memory of verified passwords: short, bounded, bound to the stored hash, and safe among threads."""

from __future__ import annotations

import threading

import pytest

from mailserver import clock
from mailserver.users.verified import VerifiedPasswords


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Monotonic time; a test changes the one element."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    return now


def test_it_knows_what_it_was_told_and_nothing_else() -> None:
    memory = VerifiedPasswords()
    memory.remember(1, "hash", "secret")
    assert memory.knows(1, "hash", "secret")
    assert not memory.knows(1, "hash", "Secret")
    assert not memory.knows(2, "hash", "secret")
    assert not memory.knows(1, "another hash", "secret")


def test_parts_do_not_run_into_each_other() -> None:
    memory = VerifiedPasswords()
    memory.remember(1, "ab", "c")
    assert not memory.knows(1, "a", "bc")
    assert not memory.knows(11, "b", "c")


def test_it_forgets_after_its_time(seconds: list[float]) -> None:
    memory = VerifiedPasswords(life_seconds=300)
    memory.remember(1, "hash", "secret")
    seconds[0] += 299
    assert memory.knows(1, "hash", "secret")
    seconds[0] += 1
    assert not memory.knows(1, "hash", "secret")
    assert len(memory) == 0


def test_using_it_does_not_prolong_it(seconds: list[float]) -> None:
    memory = VerifiedPasswords(life_seconds=300)
    memory.remember(1, "hash", "secret")
    for _ in range(3):
        seconds[0] += 100
        known = memory.knows(1, "hash", "secret")
    assert not known


def test_the_one_used_longest_ago_makes_room() -> None:
    memory = VerifiedPasswords(limit=2)
    memory.remember(1, "hash", "secret")
    memory.remember(2, "hash", "secret")
    assert memory.knows(1, "hash", "secret")
    memory.remember(3, "hash", "secret")
    assert len(memory) == 2
    assert memory.knows(1, "hash", "secret")
    assert not memory.knows(2, "hash", "secret")


def test_two_processes_do_not_share_digests() -> None:
    one, other = VerifiedPasswords(), VerifiedPasswords()
    one.remember(1, "hash", "secret")
    other.remember(1, "hash", "secret")
    assert not set(one._until) & set(other._until)


def test_any_text_can_be_a_password() -> None:
    memory = VerifiedPasswords()
    memory.remember(1, "hash", "pass\udcff\0w\N{SNOWMAN}rd")
    assert memory.knows(1, "hash", "pass\udcff\0w\N{SNOWMAN}rd")


def test_many_threads() -> None:
    memory = VerifiedPasswords(limit=50)
    failures: list[BaseException] = []
    start = threading.Barrier(8)

    def work(thread: int) -> None:
        try:
            start.wait(5)
            for number in range(400):
                memory.remember(thread, "hash", str(number % 7))
                memory.knows((thread + 1) % 8, "hash", str(number % 7))
                assert len(memory) <= 50
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert len(memory) == 50
