# SPDX-License-Identifier: MIT
"""Snapshots are swapped when the revision changes, and only for ones that make sense."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import OperationalError

from mailserver.config import building
from mailserver.config.building import SnapshotProblem, build_snapshot
from mailserver.config.catalog import MAX_HOPS
from mailserver.config.models import Service, StoredSetting
from mailserver.config.services import set_setting, touch_revision
from mailserver.config.snapshot import Snapshot
from mailserver.config.watch import SnapshotWatcher

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation")]


def test_nothing_changed_nothing_built(django_assert_num_queries: Any) -> None:
    watcher = SnapshotWatcher()
    before = watcher.current()
    with django_assert_num_queries(1):
        assert watcher.refresh_if_changed() is None
    assert watcher.current() is before


def test_a_change_is_taken_over_once() -> None:
    watcher = SnapshotWatcher()
    set_setting("mail.max_hops", 45)
    assert watcher.current().get(MAX_HOPS) == 30
    new = watcher.refresh_if_changed()
    assert new is not None
    assert new.get(MAX_HOPS) == 45
    assert watcher.current() is new
    assert watcher.refresh_if_changed() is None


def test_settings_that_make_no_sense_leave_the_old_ones_in_force(caplog: pytest.LogCaptureFixture) -> None:
    watcher = SnapshotWatcher()
    before = watcher.current()
    row = Service.objects.get(name="SMTP")
    Service.objects.filter(pk=row.pk).update(options={"max_recipients": "many"})
    touch_revision()
    with caplog.at_level(logging.ERROR):
        assert watcher.refresh_if_changed() is None
        assert watcher.refresh_if_changed() is None
    assert watcher.current() is before
    assert "SMTP" in watcher.problem
    assert len(caplog.records) == 1
    Service.objects.filter(pk=row.pk).update(options={"max_recipients": 5})
    touch_revision()
    assert watcher.refresh_if_changed() is not None
    assert watcher.problem == ""


def test_without_any_usable_settings_there_is_no_watcher() -> None:
    StoredSetting.objects.create(name="mail.max_hops", value="many")
    with pytest.raises(SnapshotProblem, match="max_hops"):
        SnapshotWatcher()


def test_a_setting_of_another_version_is_passed_over() -> None:
    StoredSetting.objects.create(name="from.the.future", value=1)
    assert "from.the.future" not in build_snapshot().settings


def test_a_database_out_of_reach_is_told_to_the_caller() -> None:
    def revision() -> int:
        raise OperationalError("gone")

    watcher = SnapshotWatcher(revision=revision)
    before = watcher.current()
    with pytest.raises(OperationalError):
        watcher.refresh_if_changed()
    assert watcher.current() is before
    assert watcher.problem == ""


def test_a_change_during_the_build_makes_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([1, 2, 2, 2])
    monkeypatch.setattr(building, "current_revision", lambda: next(numbers))
    assert build_snapshot().revision == 2


def test_in_a_storm_of_changes_the_older_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(100))
    monkeypatch.setattr(building, "current_revision", lambda: next(numbers))
    snapshot: Snapshot = build_snapshot()
    assert snapshot.revision < next(numbers) - 1


def test_few_queries_however_many_rows(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(12):
        build_snapshot()
