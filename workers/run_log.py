# SPDX-License-Identifier: MIT
"""What a task of a run tells of itself, kept in memory until somebody stores it: figures, notes, the dialogue.

A TaskLog as `connectors.values` describes it. Cheap to call from the event loop: nothing here waits for the database.
"""

from __future__ import annotations

from collections import deque

from mailserver.connectors.runs import TaskProgress

TRANSCRIPT_HEAD_CHARACTERS = 16_000
"""How a session began: greeting, log-in, what the server can do."""
TRANSCRIPT_TAIL_CHARACTERS = 48_000
"""How it ended. What lies between is left out of a long one, so that a run of days does not fill the disk."""
MAX_LINE_CHARACTERS = 1_000
MAX_NOTES = 500


class BoundedText:
    """The first lines and the last ones of a text that may be endless."""

    def __init__(self, head: int = TRANSCRIPT_HEAD_CHARACTERS, tail: int = TRANSCRIPT_TAIL_CHARACTERS) -> None:
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_room, self._tail_room = head, tail
        self._left_out = 0

    def add(self, line: str) -> None:
        line = line.rstrip("\r\n").replace("\x00", "\N{SYMBOL FOR NULL}")
        if len(line) > MAX_LINE_CHARACTERS:
            line = f"{line[:MAX_LINE_CHARACTERS]} ..."
        if not self._tail and self._head_room >= len(line) + 1:
            self._head.append(line)
            self._head_room -= len(line) + 1
            return
        self._head_room = 0
        self._tail.append(line)
        self._tail_room -= len(line) + 1
        while self._tail_room < 0:
            self._tail_room += len(self._tail.popleft()) + 1
            self._left_out += 1

    def text(self) -> str:
        gap = [f"... {self._left_out} lines are left out here ..."] if self._left_out else []
        return "\n".join([*self._head, *gap, *self._tail])


class RunLog:
    """One task's."""

    def __init__(self) -> None:
        self.changed = False
        """Since `progress` was last asked."""
        self.touched = False
        """Ever: something happened that is worth a row."""
        self.done = 0
        self._expected = self._expected_bytes = self._done_bytes = 0
        self._done_before = self._bytes_before = 0
        self._notes: list[str] = []
        self._dialogue = BoundedText()

    def expect(self, messages: int, size_bytes: int = 0) -> None:
        self._expected = self._done_before + messages
        self._expected_bytes = self._bytes_before + size_bytes
        self._touch()

    def advance(self, messages: int = 1, size_bytes: int = 0) -> None:
        self.done += messages
        self._done_bytes += size_bytes
        self._touch()

    def note(self, text: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append(text.replace("\x00", ""))
        elif len(self._notes) == MAX_NOTES:
            self._notes.append("There was more to say, which is left out.")
        self._touch()

    def wire(self, line: str) -> None:
        self._dialogue.add(line)
        self._touch()

    def begin_round(self) -> None:
        """The task begins again in the same run; what it expects from now on comes on top of what is done."""
        self._done_before, self._bytes_before = self.done, self._done_bytes

    def progress(self) -> TaskProgress:
        """As it is now, for the row."""
        self.changed = False
        return TaskProgress(
            expected=max(self._expected, self.done),
            done=self.done,
            expected_bytes=max(self._expected_bytes, self._done_bytes),
            done_bytes=self._done_bytes,
            notes="\n".join(self._notes),
            transcript=self._dialogue.text(),
        )

    def _touch(self) -> None:
        self.changed = self.touched = True
