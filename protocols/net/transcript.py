# SPDX-License-Identifier: MIT
"""The wire log of one session: commands and replies, one line each, secrets blanked by whoever logs them."""

from __future__ import annotations


class Transcript:
    """Writes nothing: the log is off for this service."""

    enabled = False

    def received(self, line: bytes) -> None:
        """A command, with secrets already blanked."""

    def sent(self, reply: bytes) -> None:
        """A reply; only the first line of a message body is ever given."""

    def note(self, text: str) -> None:
        """Something that happened: TLS, a failed login with its true reason, the end."""


SILENT = Transcript()
