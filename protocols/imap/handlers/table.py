# SPDX-License-Identifier: MIT
"""Every command and the function that carries it out; joined from the files beside this one.

APPEND and REPLACE are not here: their messages arrive before their end does (`append.py`).
"""

from __future__ import annotations

from protocols.imap.handlers import connection, copy, expunge, fetch, login, select, store
from protocols.imap.handlers.handler import Handlers

HANDLERS: Handlers = {
    **connection.HANDLERS,
    **login.HANDLERS,
    **select.HANDLERS,
    **fetch.HANDLERS,
    **store.HANDLERS,
    **copy.HANDLERS,
    **expunge.HANDLERS,
}
