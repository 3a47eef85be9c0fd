# SPDX-License-Identifier: MIT
"""Putting messages into the text index before anybody searches, a little at a time, out of the way of mail."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Exists, Max, OuterRef

from mailserver.store.chunks import in_chunks
from mailserver.store.models import Content, Entry
from mailserver.store.opening import open_store
from mailserver.values import ContentId

SETTLED = timedelta(minutes=1)
"""Messages that are fetched and deleted at once, as POP3 does, are not worth while; and by then every transaction in
which a smaller id was given out has ended."""
IDS_AT_ONCE = 5000
CONTENTS_AT_ONCE = 100
RUN_SECONDS = 45.0
"""Of each minute, as long as something is left: after an import of 100,000 messages it is a matter of minutes, and
whoever searches meanwhile waits for the rest only."""


class TextIndexer:
    """Remembers how far it has come; a new one looks through everything once, and finds most of it known.

    It rests as long as it works, so that more than half of a processor is always left for others.
    """

    def __init__(self, rest: Callable[[float], None] = time.sleep) -> None:
        self._rest = rest
        self._done = 0
        """Every content up to this id has been looked at."""

    def run(self, now: datetime, seconds: float = RUN_SECONDS) -> int:
        """Index what is not yet, oldest first, until nothing is left or the time is up; gives how many it looked at."""
        deadline = time.monotonic() + seconds
        settled = Content.objects.filter(created__lt=now - SETTLED)
        last = settled.aggregate(last=Max("id"))["last"] or 0
        store = open_store()
        count = 0
        try:
            while self._done < last and time.monotonic() < deadline:
                end = self._done + IDS_AT_ONCE
                block = settled.filter(id__gt=self._done, id__lte=end)
                wanted = block.filter(Exists(Entry.objects.filter(content=OuterRef("pk"))))
                ids = [ContentId(id_) for id_ in wanted.order_by("id").values_list("id", flat=True)]
                for chunk in in_chunks(ids, CONTENTS_AT_ONCE):
                    began = time.monotonic()
                    store.index_texts(chunk)
                    self._rest(time.monotonic() - began)
                    count += len(chunk)
                    self._done = chunk[-1]
                    if time.monotonic() >= deadline:
                        return count
                self._done = min(end, last)
        finally:
            store.close()
        return count
