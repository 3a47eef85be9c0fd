# SPDX-License-Identifier: MIT
"""One spelling for names and passwords that people type in several: SASLprep.

RFC 4013 §2 over the standard library's RFC 3454 tables. Pure.

A text that the profile refuses is used as it was typed. The tables end at Unicode 3.2, so a strict reading would
forbid newer letters and every emoji to people whose mail programs send them happily; PostgreSQL decides the same.
"""

from __future__ import annotations

import stringprep
import unicodedata

_FORBIDDEN = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)
"""RFC 4013 §2.3, and §2.5: unassigned code points, because these are stored strings (RFC 5802 §2.2)."""


def saslprep(text: str) -> str:
    """The prepared form, or the text itself where the profile refuses it; applying it twice changes nothing."""
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    return prepared if prepared and _is_allowed(prepared) else text


def _is_allowed(text: str) -> bool:
    return not any(forbidden(char) for char in text for forbidden in _FORBIDDEN) and _is_bidi_sound(text)


def _is_bidi_sound(text: str) -> bool:
    """RFC 3454 §6: right-to-left text stands alone, and begins and ends with it."""
    if not any(stringprep.in_table_d1(char) for char in text):
        return True
    if any(stringprep.in_table_d2(char) for char in text):
        return False
    return stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
