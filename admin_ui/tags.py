# SPDX-License-Identifier: MIT
"""Small labels in the console's lists: a word in a colour."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString


def tag(kind: str, text: str) -> SafeString:
    """`kind` is ok, off, wait, note, admin, or empty for a plain one."""
    return format_html('<span class="pb-tag{}">{}</span>', f" pb-tag-{kind}" if kind else "", text)
