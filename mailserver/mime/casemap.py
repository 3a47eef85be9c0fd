# SPDX-License-Identifier: MIT
"""i;unicode-casemap: how text compares in SEARCH and SORT.

RFC 5051 §2. Pure.
"""

from __future__ import annotations

import unicodedata


class _Titles(dict[int, int]):
    """Code points and their simple title case, found out when first needed."""

    def __missing__(self, code: int) -> int:
        title = chr(code).title()
        self[code] = ord(title) if len(title) == 1 else code
        return self[code]


_TITLES = _Titles()


def casemap(text: str) -> str:
    """Texts that are the same but for case become equal: title case, then compatibility decomposition."""
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", text.translate(_TITLES))
