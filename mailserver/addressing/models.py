# SPDX-License-Identifier: MIT
"""The domains that are local here."""

from __future__ import annotations

from django.db import models


class Domain(models.Model):
    """A mail domain handled here; stored in lower case, internationalised names in their A-label form."""

    name = models.CharField(max_length=255, unique=True, help_text="Such as example.com.")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name
