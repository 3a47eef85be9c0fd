# SPDX-License-Identifier: MIT
"""What CAPABILITY lists, before and after login. Pure.

RFC 9051 §6.1.1 and the RFC of each word, see docs/standards.md. A word stands here only when all of it works.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

ALWAYS = ("IMAP4rev1", "IMAP4rev2", "LITERAL+", "ID")
"""LITERAL+ includes what LITERAL- allows (RFC 7888 §5); only one of them may be listed."""

AFTER_LOGIN = (
    "ENABLE", "IDLE", "NAMESPACE", "CHILDREN", "UNSELECT", "UIDPLUS", "MOVE", "MULTIAPPEND", "CATENATE", "BINARY",
    "ESEARCH", "SEARCHRES", "WITHIN", "SORT", "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES",
    "THREAD=REFS", "CONDSTORE", "QRESYNC", "CONTEXT=SEARCH", "CONTEXT=SORT", "PARTIAL", "LIST-EXTENDED",
    "LIST-STATUS", "LIST-MYRIGHTS", "LIST-METADATA", "STATUS=SIZE", "SPECIAL-USE", "CREATE-SPECIAL-USE", "METADATA",
    "QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "ACL", "RIGHTS=texk", "OBJECTID", "SAVEDATE", "PREVIEW",
    "NOTIFY", "REPLACE", "UIDONLY", "UTF8=ACCEPT", "INPROGRESS", "UNAUTHENTICATE",
)  # fmt: skip

ENABLEABLE = {"IMAP4REV2", "CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "UIDONLY"}
"""What ENABLE can switch on, in capitals (RFC 5161 §3.1)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What of the session decides about the list."""

    logged_in: bool = False
    mechanisms: tuple[str, ...] = ()
    """SASL mechanisms that may be used now."""
    starttls: bool = False
    """TLS could begin now."""
    plain_login: bool = True
    """LOGIN may be used now."""
    compress: bool = True
    idle: bool = True
    append_limit: int = 0
    """0 for none."""


def list_capabilities(standing: Standing, hidden: Collection[str] = ()) -> tuple[str, ...]:
    """In the order in which they are announced; `hidden` words, in capitals, are left out, whatever they are worth.

    IMAP4rev1 stays: a list without it would be no answer at all.
    """
    words = [*ALWAYS, *(_after_login(standing) if standing.logged_in else _before_login(standing))]
    return tuple(word for word in words if word == "IMAP4rev1" or word.upper() not in hidden)


def _before_login(standing: Standing) -> Iterable[str]:
    """Quirk: ENABLE and IDLE are announced here too, as Dovecot does: Python's imaplib does not ask again after LOGIN,
    and then believes what it has."""
    yield "SASL-IR"
    yield "ENABLE"
    if standing.idle:
        yield "IDLE"
    if standing.starttls:
        yield "STARTTLS"
    if not standing.plain_login:
        yield "LOGINDISABLED"
    for mechanism in standing.mechanisms:
        yield f"AUTH={mechanism}"


def _after_login(standing: Standing) -> Iterable[str]:
    for word in AFTER_LOGIN:
        if word != "IDLE" or standing.idle:
            yield word
    # RFC 7889 §2: with a number where it is the same for every mailbox.
    yield f"APPENDLIMIT={standing.append_limit}" if standing.append_limit else "APPENDLIMIT"
    if standing.compress:
        yield "COMPRESS=DEFLATE"
