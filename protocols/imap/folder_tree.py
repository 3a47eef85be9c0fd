# SPDX-License-Identifier: MIT
"""What LIST and LSUB show: which names fit, with which attributes, and which parents stand in for their children.

RFC 9051 §6.3.9 and §7.3.1, RFC 3501 §6.3.9, RFC 5258 §3, RFC 6154 §2, spec services 2.2. Pure: takes the folders that a
user may look up and the names that he has subscribed to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailserver.store.folders import Folder
from mailserver.store.names import INBOX
from mailserver.values import SpecialUse
from protocols.imap.arguments import ListReturn, ListSelection
from protocols.imap.mailbox_names import list_parents, matches_pattern
from protocols.imap.untagged import ListedMailbox

USE_ATTRIBUTES: dict[SpecialUse, str] = {
    SpecialUse.ARCHIVE: "\\Archive",
    SpecialUse.DRAFTS: "\\Drafts",
    SpecialUse.JUNK: "\\Junk",
    SpecialUse.SENT: "\\Sent",
    SpecialUse.TRASH: "\\Trash",
}
"""RFC 6154 §2; the Inbox needs none."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A name in the tree. Without a `folder` it is only the way to others, or, as `remembered`, a subscription."""

    name: str
    folder: Folder | None
    subscribed: bool = False
    has_children: bool = False
    remembered: bool = False

    @property
    def use_attribute(self) -> str:
        use = self.folder.mailbox.special_use if self.folder else None
        return USE_ATTRIBUTES.get(use, "") if use else ""


def grow_tree(folders: Iterable[Folder], subscriptions: frozenset[str]) -> list[Branch]:
    """Every folder, every missing parent of one, and every subscription to a name that is not there."""
    known: dict[str, Folder | None] = {folder.shown_name: folder for folder in folders}
    parents = {parent for name in known for parent in list_parents(name)}
    known |= dict.fromkeys(parents - known.keys())
    branches = [Branch(name, folder, name in subscriptions, name in parents) for name, folder in known.items()]
    branches += (Branch(name, None, True, remembered=True) for name in subscriptions - known.keys())
    return sorted(branches, key=lambda branch: _order(branch.name))


def _order(name: str) -> tuple[bool, bool, str]:
    """The Inbox first, what others share last."""
    return name != INBOX, name.startswith("#"), name


@dataclass(frozen=True, slots=True)
class Match:
    """A branch that is to be listed; `child_info` names the criteria that something below it meets."""

    branch: Branch
    child_info: tuple[str, ...] = ()


def find_matches(
    tree: Sequence[Branch], patterns: Sequence[str], selection: frozenset[ListSelection] = frozenset()
) -> list[Match]:
    """RFC 5258 §3 and §3.5: with RECURSIVEMATCH also parents of what meets the criteria and fits no pattern."""
    criteria = selection & {ListSelection.SUBSCRIBED, ListSelection.SPECIAL_USE}
    fitting = {branch.name for branch in tree if _fits(branch.name, patterns)}
    if ListSelection.RECURSIVEMATCH not in selection:
        return [Match(branch) for branch in tree if branch.name in fitting and _meets(branch, criteria)]
    hidden = [branch.name for branch in tree if branch.name not in fitting and _meets(branch, criteria)]
    above = {parent for name in hidden for parent in list_parents(name)}
    words = tuple(sorted(option.value for option in criteria))
    candidates = [*tree, *_missing(above, tree, patterns)]
    found = [
        Match(branch, words if branch.name in above else ())
        for branch in candidates
        if (branch.name in fitting or _fits(branch.name, patterns))
        and (branch.name in above or _meets(branch, criteria))
    ]
    return sorted(found, key=lambda match: _order(match.branch.name))


def find_subscribed(tree: Sequence[Branch], pattern: str) -> list[Match]:
    """LSUB: with `%`, a parent stands in for subscriptions below it (RFC 3501 §6.3.9)."""
    found = find_matches(tree, (pattern,), frozenset({ListSelection.SUBSCRIBED, ListSelection.RECURSIVEMATCH}))
    return [Match(Branch(match.branch.name, None) if not match.branch.subscribed else match.branch) for match in found]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(matches_pattern(name, pattern) for pattern in patterns)


def _meets(branch: Branch, criteria: frozenset[ListSelection]) -> bool:
    if ListSelection.SUBSCRIBED in criteria and not branch.subscribed:
        return False
    if ListSelection.SPECIAL_USE in criteria and not branch.use_attribute:
        return False
    return bool(criteria) or not branch.remembered


def _missing(names: Iterable[str], tree: Sequence[Branch], patterns: Sequence[str]) -> Iterable[Branch]:
    """Parents of subscriptions to what is not there; nothing in the tree says that they exist either."""
    known = {branch.name for branch in tree}
    return (Branch(name, None, has_children=True) for name in names if name not in known and _fits(name, patterns))


def describe_match(match: Match, *, show: ListReturn, no_folder: str, fake_parents: bool) -> ListedMailbox:
    r"""The answer to LIST. `no_folder` is the attribute of what cannot be selected, `\NonExistent` or `\Noselect`.

    With `fake_parents` the missing folders above shared ones look like empty ones (spec services 2.2).
    """
    branch = match.branch
    attributes: list[str] = []
    if branch.folder is None and not (fake_parents and is_fake_parent(branch.name)):
        attributes.append(no_folder)
    if show.subscribed and branch.subscribed:
        attributes.append("\\Subscribed")
    attributes.append("\\HasChildren" if branch.has_children else "\\HasNoChildren")
    if show.special_use and branch.use_attribute:
        attributes.append(branch.use_attribute)
    return ListedMailbox(branch.name, tuple(attributes), match.child_info)


def is_fake_parent(name: str) -> bool:
    """Whether a name that has no folder is in a namespace where parents may look like folders."""
    return name.startswith("#")
