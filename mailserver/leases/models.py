# SPDX-License-Identifier: MIT
"""A lease is a row: its name, who has it, and until when."""

from __future__ import annotations

from django.db import models


class Lease(models.Model):
    """Something that only one process may do at a time, such as running a Connection (design section 6)."""

    name = models.CharField(max_length=100, primary_key=True)
    owner = models.CharField(max_length=200)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}, held by {self.owner}"
