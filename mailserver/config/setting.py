# SPDX-License-Identifier: MIT
"""What one entry of the settings' catalogue is, and how a value is read from a form, a file or the command line.

Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mailserver.errors import InvalidInput

T = TypeVar("T", bool, int, str)


class Effect(enum.Enum):
    """When a change is felt."""

    AT_ONCE = "at once"
    NEXT_SESSION = "for sessions that start afterwards"
    NEW_ROWS = "for what is created afterwards"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One thing that an administrator may choose.

    `minimum` and `maximum` bound a number, or the length of a text; `choices` maps each allowed text to its label.
    """

    name: str
    default: T
    label: str
    help: str
    effect: Effect = Effect.AT_ONCE
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[tuple[str, str], ...] = ()
    check: Callable[[str], str] | None = None
    """Says what is wrong with a text, or nothing."""

    def parse(self, value: object) -> T:
        """The value as this setting's type, from a form, a file or the command line; raises InvalidInput."""
        if isinstance(self.default, bool):
            return self._parse_bool(value)
        if isinstance(self.default, int):
            return self._parse_int(value)
        return self._parse_text(value)

    def _parse_bool(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text in ("true", "yes", "on", "1"):
            return True
        if text in ("false", "no", "off", "0"):
            return False
        raise self._refuse(f"must be yes or no, not {value!r}")

    def _parse_int(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self._refuse(f"must be a whole number, not {value!r}")
        try:
            number = int(value)
        except ValueError:
            raise self._refuse(f"must be a whole number, not {value!r}") from None
        if self.minimum is not None and number < self.minimum:
            raise self._refuse(f"must be at least {self.minimum}, not {number}")
        if self.maximum is not None and number > self.maximum:
            raise self._refuse(f"must be at most {self.maximum}, not {number}")
        return number

    def _parse_text(self, value: object) -> str:
        if not isinstance(value, str):
            raise self._refuse(f"must be a text, not {value!r}")
        text = value.strip()
        if self.choices and text not in dict(self.choices):
            raise self._refuse(f"must be one of {', '.join(key for key, _ in self.choices)}, not {text!r}")
        if self.maximum is not None and len(text) > self.maximum:
            raise self._refuse(f"must be at most {self.maximum} characters long")
        problem = self.check(text) if self.check is not None else ""
        if problem:
            raise self._refuse(problem)
        return text

    def _refuse(self, text: str) -> InvalidInput:
        return InvalidInput({self.name: [text]})
