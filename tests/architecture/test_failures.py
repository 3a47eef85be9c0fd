# SPDX-License-Identifier: MIT
"""Each protocol has a wire form for every failure of the domain (house style section 7, rule 2)."""

from __future__ import annotations

import importlib

import pytest

from mailserver.errors import Kind
from tests.support.sources import ROOT

PROTOCOLS = sorted(path.parent.name for path in (ROOT / "protocols").glob("*/replies.py"))


def test_protocols_are_found() -> None:
    assert {"pop3", "smtp"} <= set(PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_kind_is_missing_from_the_table(protocol: str) -> None:
    replies = importlib.import_module(f"protocols.{protocol}.replies")
    tables = [
        value
        for value in vars(replies).values()
        if isinstance(value, dict) and value and all(isinstance(key, Kind) for key in value)
    ]
    assert tables, "replies.py holds one dict from Kind to its wire form"
    for table in tables:
        assert set(table) == set(Kind)
