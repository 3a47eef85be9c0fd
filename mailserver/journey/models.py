# SPDX-License-Identifier: MIT
"""What happened to each message, for 'Where is my mail?' and `manage.py trace` (design section 8)."""

from __future__ import annotations

from django.db import models


class Journey(models.Model):
    """A message, or an attempt that was refused before there was one. `ref` is the id that replies and logs show."""

    ref = models.CharField(max_length=26, unique=True)
    started = models.DateTimeField(db_index=True)
    source = models.CharField(max_length=20)
    client = models.CharField(max_length=64, blank=True)
    helo = models.CharField(max_length=255, blank=True)
    login = models.CharField(max_length=320, blank=True)
    sender = models.CharField(max_length=320, blank=True)
    header_from = models.CharField(max_length=320, blank=True)
    subject = models.CharField(max_length=400, blank=True)
    message_id = models.CharField(max_length=400, blank=True, db_index=True)
    size = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("-started",)

    def __str__(self) -> str:
        return self.ref


class JourneyEvent(models.Model):
    """One step. `kind` is a `records.JourneyStep`; `detail` is for people.

    A step may outlive its journey (no constraint), so that a late one never fails the unit it came with.
    """

    journey = models.ForeignKey(
        Journey, on_delete=models.CASCADE, related_name="events", to_field="ref", db_constraint=False
    )
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    recipient = models.CharField(max_length=320, blank=True, db_index=True)
    detail = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ("at", "id")
        indexes = [models.Index(fields=("at", "kind"), name="journey_event_counts")]
