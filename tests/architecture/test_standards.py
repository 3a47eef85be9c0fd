# SPDX-License-Identifier: MIT
"""Code and standards point at each other: every RFC that is cited has its line in docs/standards.md."""

from __future__ import annotations

import re

from tests.support.sources import ROOT, all_sources

CITED = re.compile(r"\bRFC (\d{3,5})\b")
ONE_FORM = re.compile(r"\bRFC-\d|\bRFC(?!822\b)\d|\brfc ?(?!822\b)\d{3,5}\b")
LINE = re.compile(r"^\| (?:RFC )?(\d{3,5}) \|", re.MULTILINE)
STATES = {"done", "partly", "not"}


def _standards() -> str:
    return (ROOT / "docs" / "standards.md").read_text(encoding="utf-8")


def test_every_cited_rfc_has_its_line() -> None:
    cited = {number for source in all_sources() for number in CITED.findall(source.text)}
    assert sorted(cited - set(LINE.findall(_standards())), key=int) == []


def test_every_line_says_how_far_it_is_done() -> None:
    rows = [row.split("|") for row in _standards().splitlines() if LINE.match(row)]
    assert rows
    assert [row[1].strip() for row in rows if row[3].strip() not in STATES] == []


def test_no_rfc_stands_there_twice() -> None:
    numbers = LINE.findall(_standards())
    assert sorted(numbers) == sorted(set(numbers))


def test_a_search_for_one_form_of_citation_finds_them_all() -> None:
    odd = [
        f"{source.name}: {match.group()}"
        for source in all_sources()
        if not source.name.startswith("tests/architecture/")
        for match in ONE_FORM.finditer(source.text)
    ]
    assert odd == []
