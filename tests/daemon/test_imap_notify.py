# SPDX-License-Identifier: MIT
"""NOTIFY with the real store and real notices, between two protocol daemons: RFC 5465."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

PASSWORD = "Imap-secret-1"


@pytest.fixture
def installation(crowded: Installation) -> Installation:
    return crowded


class Client(Wire):
    """Logged in."""

    def __init__(self, port: int, user: str) -> None:
        super().__init__(port)
        assert self.line().startswith(b"* OK ")
        self.command(f"LOGIN {user} {PASSWORD}")

    def command(self, text: str) -> list[bytes]:
        """The lines of the answer; it must be OK."""
        self.send(f"t {text}\r\n".encode())
        lines = [self.line()]
        while not lines[-1].startswith(b"t "):
            assert lines[-1], f"the server closed: {lines}"
            lines.append(self.line())
        assert lines[-1].startswith(b"t OK"), lines
        return lines


def test_a_client_hears_at_once_of_what_others_do(installation: Installation) -> None:
    port = installation.port("imap4")
    with Client(port, "anna") as listening, Client(port, "anna") as doing, Client(port, "bert") as sharing:
        listening.command(
            "NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName)) (SUBTREE #users (MailboxName))"
        )
        doing.command("CREATE Work")
        assert listening.line() == b'* LIST () "/" "Work"'
        doing.command("APPEND Work {15+}\r\nSubject: x\r\n\r\ny")
        assert listening.line().startswith(b'* STATUS "Work" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ')
        doing.command("RENAME Work Play")
        assert listening.line() == b'* LIST () "/" "Play" ("OLDNAME" ("Work"))'
        doing.command("DELETE Play")
        assert listening.line() == b'* LIST (\\NonExistent) "/" "Play"'
        sharing.command("SETACL Archive anna lr")
        assert listening.line() == b'* LIST () "/" "#users/bert/Archive"'
        sharing.command("DELETEACL Archive anna")
        assert listening.line() == b'* LIST (\\NonExistent) "/" "#users/bert/Archive"'
