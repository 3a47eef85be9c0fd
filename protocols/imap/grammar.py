# SPDX-License-Identifier: MIT
"""From the pieces of a command to the command: tag, name, and the table of who reads the rest.

RFC 9051 §9, RFC 3501 §9, and the grammars of the extensions. The arguments are read by the files that the imports
name. APPEND and REPLACE, whose literals are too big to be kept, are read as they arrive (`append.py`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from protocols.imap import commands as c
from protocols.imap.lexer import GrammarError, Lexer
from protocols.imap.mailbox_grammar import (
    parse_create,
    parse_examine,
    parse_list,
    parse_lsub,
    parse_notify,
    parse_rename,
    parse_select,
    parse_status,
)
from protocols.imap.message_grammar import (
    parse_cancel_update,
    parse_copy,
    parse_fetch,
    parse_move,
    parse_search,
    parse_sort,
    parse_store,
    parse_thread,
    parse_uid_expunge,
)
from protocols.imap.metadata import parse_get_metadata, parse_set_metadata
from protocols.imap.rights_grammar import (
    parse_delete_acl,
    parse_get_quota,
    parse_list_rights,
    parse_set_acl,
    parse_set_quota,
)
from protocols.imap.session_grammar import parse_authenticate, parse_compress, parse_enable, parse_id, parse_login

MAX_TAG_BYTES = 200
"""A tag comes back in every answer; mail programs use fewer than 20."""

# tag = 1*<any ASTRING-CHAR except "+">
_HEAD = re.compile(rb"([!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+)(?: +([A-Za-z]+)(?: +([A-Za-z]+))?)?")


def read_head(line: bytes) -> tuple[str, str, int]:
    """A command line's tag, its name (`UID FETCH` in full), and where the arguments begin.

    The tag is empty where there is none that could be repeated; the name is empty when it is missing.
    """
    match = _HEAD.match(line)
    if not match or len(match[1]) > MAX_TAG_BYTES:
        return "", "", 0
    name = (match[2] or b"").upper()
    if name == b"UID" and match[3]:
        return match[1].decode("ascii"), f"UID {match[3].decode('ascii').upper()}", match.end(3)
    return match[1].decode("ascii"), name.decode("ascii"), match.end(2) if match[2] else match.end(1)


def parse_command(pieces: list[bytes], *, utf8: bool = False, head: tuple[str, str, int] | None = None) -> c.Command:
    """A whole command: a line, then each literal and the line after it. Raises GrammarError.

    `head` is what `read_head` has said of the line, if somebody has asked already.
    """
    tag, name, position = head or read_head(pieces[0])
    if not tag:
        raise GrammarError("expected a tag")
    lexer = Lexer(pieces, utf8=utf8, position=position)
    bare = BARE.get(name)
    if bare:
        lexer.end()
        return bare(tag)
    parse = PARSERS.get(name)
    if not parse:
        raise GrammarError("unknown command")
    lexer.space()
    command = parse(tag, lexer)
    lexer.end()
    return command


def _of_mailbox(command: Callable[[str, str], c.Command]) -> Callable[[str, Lexer], c.Command]:
    """The parser of a command whose one argument is a mailbox."""

    def parse(tag: str, lexer: Lexer) -> c.Command:
        return command(tag, lexer.mailbox())

    return parse


BARE: dict[str, Callable[[str], c.Command]] = {
    "CAPABILITY": c.Capability,
    "NOOP": c.Noop,
    "LOGOUT": c.Logout,
    "STARTTLS": c.StartTls,
    "NAMESPACE": c.Namespace,
    "IDLE": c.Idle,
    "UNAUTHENTICATE": c.Unauthenticate,
    "CHECK": c.Check,
    "CLOSE": c.Close,
    "UNSELECT": c.Unselect,
    "EXPUNGE": c.Expunge,
}
"""Commands without arguments."""

PARSERS: dict[str, Callable[[str, Lexer], c.Command]] = {
    "ID": parse_id,
    "AUTHENTICATE": parse_authenticate,
    "LOGIN": parse_login,
    "ENABLE": parse_enable,
    "SELECT": parse_select,
    "EXAMINE": parse_examine,
    "CREATE": parse_create,
    "DELETE": _of_mailbox(c.Delete),
    "RENAME": parse_rename,
    "SUBSCRIBE": _of_mailbox(c.Subscribe),
    "UNSUBSCRIBE": _of_mailbox(c.Unsubscribe),
    "LIST": parse_list,
    "LSUB": parse_lsub,
    "STATUS": parse_status,
    "GETQUOTA": parse_get_quota,
    "GETQUOTAROOT": _of_mailbox(c.GetQuotaRoot),
    "SETQUOTA": parse_set_quota,
    "SETACL": parse_set_acl,
    "DELETEACL": parse_delete_acl,
    "GETACL": _of_mailbox(c.GetAcl),
    "LISTRIGHTS": parse_list_rights,
    "MYRIGHTS": _of_mailbox(c.MyRights),
    "GETMETADATA": parse_get_metadata,
    "SETMETADATA": parse_set_metadata,
    "NOTIFY": parse_notify,
    "COMPRESS": parse_compress,
    "UID EXPUNGE": parse_uid_expunge,
    "SEARCH": parse_search,
    "UID SEARCH": partial(parse_search, uid=True),
    "SORT": parse_sort,
    "UID SORT": partial(parse_sort, uid=True),
    "THREAD": parse_thread,
    "UID THREAD": partial(parse_thread, uid=True),
    "FETCH": parse_fetch,
    "UID FETCH": partial(parse_fetch, uid=True),
    "STORE": parse_store,
    "UID STORE": partial(parse_store, uid=True),
    "COPY": parse_copy,
    "UID COPY": partial(parse_copy, uid=True),
    "MOVE": parse_move,
    "UID MOVE": partial(parse_move, uid=True),
    "CANCELUPDATE": parse_cancel_update,
}
