# SPDX-License-Identifier: MIT
"""What is running: a row for each process, its live sessions in brief, and the commands waiting for it."""

from __future__ import annotations

from django.db import models

STALE_AFTER_SECONDS = 30
"""Heartbeats come every ten seconds or more often: three in a row have been missed."""


class Process(models.Model):
    """A daemon or a worker. One whose heartbeat is older than `STALE_AFTER_SECONDS` counts as dead."""

    class Kind(models.TextChoices):
        """The processes of design section 2 that do something for others to see; the rest need no row."""

        SERVE = "serve", "Protocol daemon"
        WORKER = "worker", "Worker"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started = models.DateTimeField()
    heartbeat = models.DateTimeField(db_index=True)
    state = models.CharField(max_length=20, default="running")
    report = models.JSONField(default=dict, blank=True)
    """What the process says of itself: settings revision, listeners with their errors, counters."""
    sessions = models.JSONField(default=list, blank=True)
    """Live sessions in brief: lists of `activity.services.SessionBrief` fields."""

    class Meta:
        ordering = ("kind", "id")
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pid} on {self.host}"


class ProcessCommand(models.Model):
    """Something a process is asked to do: `end-session`, `reload`, `drain`."""

    process = models.ForeignKey(Process, on_delete=models.CASCADE, related_name="commands")
    command = models.CharField(max_length=20)
    argument = models.CharField(max_length=100, blank=True)
    created = models.DateTimeField()

    class Meta:
        ordering = ("id",)
