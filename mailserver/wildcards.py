# SPDX-License-Identifier: MIT
"""DOS wildcards, as the reference product has them everywhere: `*` is any text, `?` one character. Pure."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def compile_wildcard(pattern: str) -> re.Pattern[str]:
    """Use it with `fullmatch`. Upper and lower case are the same."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern."""
    return compile_wildcard(pattern).fullmatch(text) is not None
