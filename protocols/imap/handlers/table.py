# SPDX-License-Identifier: MIT
"""Every command and the function that carries it out; joined from the files beside this one.

APPEND and REPLACE are not here: their messages arrive before their end does (`append.py`).
"""

from __future__ import annotations

from protocols.imap.handlers import (
    acl,
    connection,
    copy,
    expunge,
    fetch,
    folders,
    list,
    login,
    metadata,
    notify,
    quota,
    search,
    select,
    sort,
    status,
    store,
    thread,
)
from protocols.imap.handlers.handler import Handlers

HANDLERS: Handlers = {
    **connection.HANDLERS,
    **login.HANDLERS,
    **select.HANDLERS,
    **folders.HANDLERS,
    **list.HANDLERS,
    **status.HANDLERS,
    **acl.HANDLERS,
    **quota.HANDLERS,
    **metadata.HANDLERS,
    **notify.HANDLERS,
    **fetch.HANDLERS,
    **store.HANDLERS,
    **copy.HANDLERS,
    **expunge.HANDLERS,
    **search.HANDLERS,
    **sort.HANDLERS,
    **thread.HANDLERS,
}
