# SPDX-License-Identifier: MIT
"""What a POP3 client can ask for: one frozen class per command.

RFC 1939 §5 to §7, RFC 2449 §5 (CAPA), RFC 2595 §4 (STLS), RFC 5034 (AUTH), RFC 6856 §2 and §3 (UTF8, LANG).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class User:
    verb: ClassVar[str] = "USER"
    name: str


@dataclass(frozen=True, slots=True)
class Pass:
    verb: ClassVar[str] = "PASS"
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Apop:
    verb: ClassVar[str] = "APOP"
    name: str
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListMechanisms:
    """AUTH by itself, which RFC 1734 did not have and mail programs send all the same."""

    verb: ClassVar[str] = "AUTH"


@dataclass(frozen=True, slots=True)
class Auth:
    """`initial` is None when absent and b"" for `=` (RFC 5034 §4)."""

    verb: ClassVar[str] = "AUTH"
    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SaslResponse:
    """A line of an AUTH exchange, decoded."""

    verb: ClassVar[str] = "AUTH"
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SaslCancel:
    """`*` in place of a response."""

    verb: ClassVar[str] = "AUTH"


@dataclass(frozen=True, slots=True)
class Stls:
    verb: ClassVar[str] = "STLS"


@dataclass(frozen=True, slots=True)
class Capa:
    verb: ClassVar[str] = "CAPA"


@dataclass(frozen=True, slots=True)
class Stat:
    verb: ClassVar[str] = "STAT"


@dataclass(frozen=True, slots=True)
class List:
    verb: ClassVar[str] = "LIST"
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Uidl:
    verb: ClassVar[str] = "UIDL"
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Retr:
    verb: ClassVar[str] = "RETR"
    number: int


@dataclass(frozen=True, slots=True)
class Top:
    verb: ClassVar[str] = "TOP"
    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    verb: ClassVar[str] = "DELE"
    number: int


@dataclass(frozen=True, slots=True)
class Noop:
    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Rset:
    verb: ClassVar[str] = "RSET"


@dataclass(frozen=True, slots=True)
class Quit:
    verb: ClassVar[str] = "QUIT"


@dataclass(frozen=True, slots=True)
class Utf8:
    verb: ClassVar[str] = "UTF8"


@dataclass(frozen=True, slots=True)
class Lang:
    """`language` is a tag, `*` for the server's choice, or None to ask which there are."""

    verb: ClassVar[str] = "LANG"
    language: str | None = None


Command = (
    User
    | Pass
    | Apop
    | ListMechanisms
    | Auth
    | SaslResponse
    | SaslCancel
    | Stls
    | Capa
    | Stat
    | List
    | Uidl
    | Retr
    | Top
    | Dele
    | Noop
    | Rset
    | Quit
    | Utf8
    | Lang
)
