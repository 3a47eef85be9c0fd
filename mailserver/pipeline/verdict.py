# SPDX-License-Identifier: MIT
"""What a stage of the pipeline, or a script, says of a message. Later issues add hold, redirect and change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accept:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not take the message: the SMTP reply code, the enhanced status code (RFC 3463), and a text for people."""

    code: int
    status: str
    text: str


Verdict = Accept | Refuse
ACCEPT = Accept()
