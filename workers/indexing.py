# SPDX-License-Identifier: MIT
"""Each minute, what has come in is made ready for searching in its text, where the administrator wants that."""

from __future__ import annotations

from collections.abc import Mapping

from mailserver import clock
from mailserver.config.catalog import PREPARE_SEARCH
from mailserver.config.stored import get_setting
from mailserver.store.indexing import TextIndexer

_indexer = TextIndexer()


def index_texts(payload: Mapping[str, object]) -> None:
    """Messages that the text index does not know yet."""
    if get_setting(PREPARE_SEARCH):
        _indexer.run(clock.now())
