# SPDX-License-Identifier: MIT
"""What must still be done after a reply, written in the same transaction as its cause (design section 2)."""

from __future__ import annotations

from django.db import models


class WorkItem(models.Model):
    """One thing to do. Whoever has the lease does it; a lease that ran out may be taken by another worker."""

    kind = models.CharField(max_length=40)
    payload = models.JSONField(default=dict)
    created = models.DateTimeField()
    not_before = models.DateTimeField(db_index=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
