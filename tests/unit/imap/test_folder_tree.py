# SPDX-License-Identifier: MIT
"""Which folders LIST shows: RFC 5258's own examples, and parents that are missing."""

from __future__ import annotations

import pytest

from mailserver.store.folders import Folder
from mailserver.store.values import Mailbox
from mailserver.values import MailboxId, ModSeq, SpecialUse, Uid, UserId
from protocols.imap.arguments import ListReturn, ListSelection
from protocols.imap.folder_tree import Match, describe_match, find_matches, find_subscribed, grow_tree

SUBSCRIBED = frozenset({ListSelection.SUBSCRIBED})
RECURSIVE = SUBSCRIBED | {ListSelection.RECURSIVEMATCH}
FRUIT = ("INBOX", "Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable", "Vegetable/Broccoli", "Vegetable/Corn")
EATEN = frozenset({"Fruit/Banana", "Fruit/Peach", "INBOX", "Vegetable", "Vegetable/Broccoli"})
"""RFC 5258 §5: Fruit/Peach was subscribed to, and does not exist any more."""


def folder(name: str, use: SpecialUse | None = None) -> Folder:
    mailbox = Mailbox(MailboxId(1), UserId(1), name, use, 1, Uid(1), ModSeq(1))
    return Folder(mailbox, UserId(1), frozenset("lr"), name)


def names(matches: list[Match]) -> list[str]:
    return [match.branch.name + ("+" if match.child_info else "") for match in matches]


def listed(*patterns: str, selection: frozenset[ListSelection] = frozenset()) -> list[str]:
    return names(find_matches(grow_tree(map(folder, FRUIT), EATEN), patterns, selection))


@pytest.mark.parametrize(
    ("patterns", "selection", "expected"),
    [
        (("*",), frozenset(), list(FRUIT)),
        (("%",), frozenset(), ["INBOX", "Fruit", "Tofu", "Vegetable"]),
        (("%", "Fruit/%"), frozenset(), ["INBOX", "Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable"]),
        (("*",), SUBSCRIBED, ["INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"]),
        (("%",), SUBSCRIBED, ["INBOX", "Vegetable"]),
        (("%",), RECURSIVE, ["INBOX", "Fruit+", "Vegetable+"]),
        (("*",), RECURSIVE, ["INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"]),
        (("T%",), RECURSIVE, []),
        ((), frozenset(), []),
    ],
)
def test_selection(patterns: tuple[str, ...], selection: frozenset[ListSelection], expected: list[str]) -> None:
    assert listed(*patterns, selection=selection) == expected


def test_the_parent_of_a_hidden_match_is_shown_even_if_it_is_not_there() -> None:
    """RFC 5258 §3.5: only what fits no pattern makes its parents appear."""
    present = ["foo2", "foo2/bar1", "foo2/bar2", "baz2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2", "qux2/bar2"]
    taken = frozenset({"foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2", "eps2/mamba"})
    tree = grow_tree(map(folder, present), taken | {"qux2/bar2"})
    found = names(find_matches(tree, ("*2",), RECURSIVE))
    assert found == ["baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2+", "foo2+", "foo2/bar2", "qux2/bar2"]


def test_missing_parents_stand_in_the_tree_and_shared_folders_come_last() -> None:
    tree = grow_tree(map(folder, ["a/b/c", "#users/karen/INBOX", "Zoo", "INBOX"]), frozenset())
    shown = [(branch.name, branch.folder is not None, branch.has_children) for branch in tree]
    assert shown == [
        ("INBOX", True, False),
        ("Zoo", True, False),
        ("a", False, True),
        ("a/b", False, True),
        ("a/b/c", True, False),
        ("#users", False, True),
        ("#users/karen", False, True),
        ("#users/karen/INBOX", True, False),
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"]),
        ("%", ["INBOX", "Fruit", "Vegetable"]),
        ("Fruit/%", ["Fruit/Banana", "Fruit/Peach"]),
    ],
)
def test_lsub(pattern: str, expected: list[str]) -> None:
    assert names(find_subscribed(grow_tree(map(folder, FRUIT), EATEN), pattern)) == expected


def test_attributes() -> None:
    tree = grow_tree([folder("Sent", SpecialUse.SENT), folder("#users/karen/x"), folder("a/b")], frozenset({"Sent"}))
    everything = ListReturn(subscribed=True, special_use=True)
    described = {
        match.branch.name: describe_match(
            match, show=everything, no_folder="\\NonExistent", fake_parents=True
        ).attributes
        for match in find_matches(tree, ("*",))
    }
    assert described["Sent"] == ("\\Subscribed", "\\HasNoChildren", "\\Sent")
    assert described["a"] == ("\\NonExistent", "\\HasChildren")
    assert described["#users"] == ("\\HasChildren",)
    plain = find_matches(tree, ("#users",))[0]
    shown = describe_match(plain, show=ListReturn(), no_folder="\\Noselect", fake_parents=False)
    assert shown.attributes == ("\\Noselect", "\\HasChildren")
