# SPDX-License-Identifier: MIT
"""IMAP URLs that name a message, or a part of one, on this server. Pure.

RFC 5092 §5 and §7, as far as CATENATE needs it (RFC 4469 §2): no URLAUTH, and no other server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from mailserver.mime.sections import Section
from protocols.imap.fetch_items import Extent, parse_section
from protocols.imap.lexer import GrammarError, Lexer

# imessagepart = enc-mailbox [";UIDVALIDITY=" nz-number] "/;UID=" nz-number ["/;SECTION=" enc] ["/;PARTIAL=" range]
_MESSAGE = re.compile(
    r"/?(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<validity>[1-9][0-9]{0,9}))?/;UID=(?P<uid>[1-9][0-9]{0,9})"
    r"(?:/;SECTION=(?P<section>[^;]+?))?(?:/;PARTIAL=(?P<offset>[0-9]{1,18})(?:\.(?P<size>[1-9][0-9]{0,17}))?)?",
    re.IGNORECASE,
)
_SERVER = re.compile(r"imap://(?:(?P<user>[^/@;]*)(?:;AUTH=[^/@]*)?@)?(?P<host>[^/:@]+)(?::143)?(?=/)", re.IGNORECASE)
EVERYTHING = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """What the URL names; `uid_validity` None where it does not say."""

    mailbox: str
    uid: int
    uid_validity: int | None
    section: Section
    extent: Extent | None


def parse_message_url(url: str, *, hostname: str, logins: frozenset[str]) -> MessageUrl | None:
    """None for what is no such URL, names another server, or another user than the `logins` (in lower case)."""
    server = _SERVER.match(url)
    if server:
        if server["host"].lower() != hostname.lower():
            return None
        if server["user"] and unquote(server["user"]).lower() not in logins:
            return None
        url = url[server.end() :]
    elif not url.startswith("/"):
        return None
    found = _MESSAGE.fullmatch(url)
    if not found:
        return None
    section = _parse_section(unquote(found["section"] or ""))
    if section is None:
        return None
    extent = None
    if found["offset"]:
        extent = Extent(int(found["offset"]), int(found["size"] or EVERYTHING))
    validity = int(found["validity"]) if found["validity"] else None
    return MessageUrl(unquote(found["mailbox"]), int(found["uid"]), validity, section, extent)


def _parse_section(text: str) -> Section | None:
    lexer = Lexer([b"[" + text.encode("utf-8", "replace") + b"]"], utf8=True)
    try:
        section = parse_section(lexer)
        lexer.end()
    except GrammarError:
        return None
    return section
