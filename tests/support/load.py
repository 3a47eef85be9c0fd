# SPDX-License-Identifier: MIT
"""Mail sent while things break, and the proof afterwards: what got a 250 is there exactly once, and nothing is half.

Every attempt carries an id of its own and the digest of its text, and is never repeated: so a message that is there
twice was doubled by the server, and one that is there without its 250 was merely cut off from its answer, which
RFC 5321 §4.1.1.10 leaves open.
"""

from __future__ import annotations

import hashlib
import itertools
import poplib
import smtplib
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.waiting import wait_until

LARGE_EVERY = 10
LARGE_BYTES = 100_000
"""Above 64 KiB, so that the body becomes a file."""
SMALL_BYTES = 2_000
PER_CONNECTION = 15


@dataclass(slots=True)
class Ledger:
    """What the senders were told, written down by several threads."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    temporary: list[str] = field(default_factory=list)
    """Replies of 4xx."""
    permanent: list[str] = field(default_factory=list)
    """Replies of 5xx: never right for a trouble of our own."""
    cut_off: int = 0
    """How often a connection ended, or could not be made."""

    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def next_id(self, prefix: str) -> str:
        name = f"{prefix}-{next(self._numbers):07d}"
        self.attempted.add(name)
        return name


class Load:
    """Some sessions that send until `enough` messages have been acknowledged, whatever happens meanwhile."""

    def __init__(self, port: int, users: Sequence[str], enough: int, sessions: int = 4, prefix: str = "m") -> None:
        self.ledger = Ledger()
        self._port, self._users, self._enough, self._prefix = port, users, enough, prefix
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(sessions)]

    def start(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def done(self) -> int:
        return len(self.ledger.acknowledged)

    def wait_for(self, messages: int, seconds: float) -> None:
        """Until so many have been acknowledged."""
        wait_until(lambda: self.done >= min(messages, self._enough), seconds, f"{messages} deliveries ({self.done})")

    def finish(self, seconds: float) -> Ledger:
        """Until all are through; then the sessions end."""
        try:
            self.wait_for(self._enough, seconds)
        finally:
            self.stop()
        return self.ledger

    def _send_all(self) -> None:
        while not self._stopping.is_set() and self.done < self._enough:
            try:
                with smtplib.SMTP("127.0.0.1", self._port, timeout=30) as client:
                    self._send_some(client)
            except smtplib.SMTPResponseException as error:
                self._note(error.smtp_code, error.smtp_error)
            except (OSError, smtplib.SMTPException):
                self.ledger.cut_off += 1
                self._stopping.wait(0.02)

    def _send_some(self, client: smtplib.SMTP) -> None:
        client.ehlo("load.test")
        for _ in range(PER_CONNECTION):
            if self._stopping.is_set() or self.done >= self._enough:
                return
            name = self.ledger.next_id(self._prefix)
            try:
                client.sendmail("load@sender.test", [self._user(name)], make_text(name))
            except smtplib.SMTPRecipientsRefused as error:
                for code, text in error.recipients.values():
                    self._note(code, text)
                self._stopping.wait(0.02)
            except smtplib.SMTPResponseException as error:
                self._note(error.smtp_code, error.smtp_error)
                self._stopping.wait(0.02)
            else:
                self.ledger.acknowledged.add(name)

    def _user(self, name: str) -> str:
        return f"{self._users[int(name[-7:]) % len(self._users)]}@example.test"

    def _note(self, code: int, text: bytes | str) -> None:
        reply = f"{code} {text!r}"
        (self.ledger.temporary if 400 <= code < 500 else self.ledger.permanent).append(reply)


def make_text(name: str) -> bytes:
    """A message that says who it is and what its body's digest must be."""
    size = LARGE_BYTES if int(name[-7:]) % LARGE_EVERY == 0 else SMALL_BYTES
    body = b"\r\n".join(itertools.repeat(hashlib.sha256(name.encode()).hexdigest().encode(), size // 66)) + b"\r\n"
    digest = hashlib.sha256(body).hexdigest()
    return f"Subject: {name}\r\nX-Id: {name}\r\nX-Digest: {digest}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Found:
    """What the mailboxes hold: each id with how often, and the ids whose text is not whole."""

    ids: Counter[str]
    damaged: list[str]


def read_everything(port: int, users: Sequence[str], password: str) -> Found:
    """Fetch all mail of these users by POP3, look at each message, and remove it."""
    ids: Counter[str] = Counter()
    damaged: list[str] = []
    for user in users:
        client = poplib.POP3("127.0.0.1", port, timeout=60)
        client.user(user)
        client.pass_(password)
        for number in range(1, client.stat()[0] + 1):
            name, whole = _look_at(client.retr(number)[1])
            ids[name] += 1
            if not whole:
                damaged.append(name)
            client.dele(number)
        client.quit()
    return Found(ids, damaged)


def _look_at(lines: Sequence[bytes]) -> tuple[str, bool]:
    end = lines.index(b"")
    fields = dict(line.split(b": ", 1) for line in lines[:end] if line.startswith(b"X-"))
    body = b"".join(line + b"\r\n" for line in lines[end + 1 :])
    whole = hashlib.sha256(body).hexdigest().encode() == fields.get(b"X-Digest")
    return fields.get(b"X-Id", b"?").decode(), whole


def assert_nothing_lost(ledger: Ledger, found: Found) -> None:
    """Every 250 exactly once, none half, nothing from before, and never a permanent refusal for trouble of our own."""
    assert found.damaged == []
    assert sorted(ledger.acknowledged - set(found.ids)) == []
    assert [name for name, times in found.ids.items() if times > 1] == []
    assert sorted(set(found.ids) - ledger.attempted) == []
    assert ledger.permanent == []
