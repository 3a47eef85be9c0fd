# SPDX-License-Identifier: MIT
"""Having messages given back that somebody has taken: what does not come back stays as it was."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from mailserver.leases import services as leases
from mailserver.outqueue import recalling
from mailserver.outqueue.recalling import Recalled, recall
from mailserver.outqueue.services import delete, hold
from mailserver.outqueue.taking import give_back
from tests.support.queueing import make_queued, row

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def taken() -> int:
    """A recipient that somebody has who is alive."""
    (id_,) = make_queued(claim="me")
    assert leases.acquire("sender:1", "me", 60)
    return id_


def test_what_does_not_come_back_is_as_it_was(taken: int) -> None:
    assert recall([taken]) == Recalled(gone=frozenset({taken}))
    assert (row(taken).status, row(taken).claim) == ("waiting", "me")
    assert recall([taken], hold_all=True) == Recalled(gone=frozenset({taken}), pending=frozenset({taken}))
    assert row(taken).status == "held"


def test_who_loses_patience_holds_nothing(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(ids: Collection[int]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recalling, "_wait_for", interrupt)
    with pytest.raises(KeyboardInterrupt):
        delete([taken])
    assert row(taken).status == "waiting"
    with pytest.raises(KeyboardInterrupt):
        hold([taken])
    assert row(taken).status == "held", "this is what he wanted"


def test_what_comes_back_a_moment_too_late_is_not_held_for_ever(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    find_back = recalling._back

    def look_too_early(ids: Collection[int]) -> frozenset[int]:
        found = find_back(ids)
        give_back("me")
        return found

    monkeypatch.setattr(recalling, "_back", look_too_early)
    assert delete([taken]) == 0
    assert (row(taken).status, row(taken).claim) == ("waiting", "")
