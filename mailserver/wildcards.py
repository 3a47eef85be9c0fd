# SPDX-License-Identifier: MIT
"""DOS wildcards, as the reference product has them everywhere: `*` is any text, `?` one character. Pure."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def compile_wildcard(pattern: str) -> re.Pattern[str]:
    """Use it with `fullmatch`. Upper and lower case are the same.

    What stands between two stars is taken where it comes first, and not looked for again: many stars in a long text
    would else take years.
    """
    first, *others = ("".join("." if sign == "?" else re.escape(sign) for sign in part) for part in pattern.split("*"))
    middle = "".join(f"(?>.*?{part})" for part in others[:-1] if part)
    last = f".*{others[-1]}" if others else ""
    return re.compile(first + middle + last, re.IGNORECASE | re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern."""
    return compile_wildcard(pattern).fullmatch(text) is not None
