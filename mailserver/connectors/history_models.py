# SPDX-License-Identifier: MIT
"""What happened and what is wanted: runs and their tasks, *Test* buttons, errors that were reported.

Apart from `models.py`, which has them too, for the sake of length.
"""

from __future__ import annotations

from django.db import models

from mailserver.connectors.values import Outcome

OUTCOMES = [(Outcome.OK.value, "OK"), (Outcome.PARTLY.value, "Partly failed"), (Outcome.FAILED.value, "Failed")]


class ConnectionRun(models.Model):
    """One run of a Connection, or of its Sender alone when it sends at once (design section 6)."""

    connection = models.ForeignKey("connectors.Connection", on_delete=models.CASCADE, related_name="runs")
    cause = models.CharField(max_length=12)
    started = models.DateTimeField(db_index=True)
    heartbeat = models.DateTimeField()
    finished = models.DateTimeField(null=True)
    owner = models.CharField(max_length=200)
    outcome = models.CharField(max_length=10, blank=True, choices=OUTCOMES)
    stop_requested = models.BooleanField(default=False)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.connection} at {self.started:%Y-%m-%d %H:%M}"


class RunTask(models.Model):
    """What one Sender or Collector did in a run."""

    run = models.ForeignKey(ConnectionRun, on_delete=models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=12)
    """`sender` or `collector`."""
    name = models.CharField(max_length=100)
    sender = models.ForeignKey("connectors.Sender", on_delete=models.SET_NULL, null=True, related_name="+")
    collector = models.ForeignKey("connectors.Collector", on_delete=models.SET_NULL, null=True, related_name="+")
    started = models.DateTimeField()
    finished = models.DateTimeField(null=True)
    expected = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    expected_bytes = models.PositiveBigIntegerField(default=0)
    done_bytes = models.PositiveBigIntegerField(default=0)
    outcome = models.CharField(max_length=10, blank=True, choices=OUTCOMES)
    text = models.TextField(blank=True)
    notes = models.TextField(blank=True)
    transcript = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class RemoteTest(models.Model):
    """A *Test* button that somebody pressed: what to try, and what came of it (design section 3)."""

    kind = models.CharField(max_length=12)
    """`sender`, `collector` or `dns`."""
    settings = models.BinaryField()
    """What to try, as JSON, sealed."""
    created = models.DateTimeField()
    taken = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    ok = models.BooleanField(default=False)
    text = models.TextField(blank=True)
    transcript = models.TextField(blank=True)


class ReportedError(models.Model):
    """An error of a Sender or a Collector that lasts, and when the administrator was told (spec senders 8.7)."""

    class Component(models.IntegerChoices):
        """As scripts know them."""

        SENDER = 1, "Sender"
        COLLECTOR = 2, "Collector"

    component = models.PositiveSmallIntegerField(choices=Component.choices)
    object_id = models.BigIntegerField()
    error = models.TextField()
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    reports = models.PositiveIntegerField(default=0)
    last_report = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("component", "object_id"), name="reported_error_once")]

    def __str__(self) -> str:
        return self.error[:60]
