# SPDX-License-Identifier: MIT
"""Conversations: the base subject, and the trees that THREAD answers with.

RFC 5256 §2.1 (base subject), §3 (ORDEREDSUBJECT and REFERENCES), draft-ietf-morg-inthread §5 (REFS). Pure. Works on
what is stored of each message; reads no message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

MAX_REFERENCES = 1000
"""Message ids followed of one References field, the last ones: the nearest ancestors stand at its end."""

MAX_SUBJECT_CHARACTERS = 2000
"""As much of a subject as is compared."""

_WHITE_SPACE = re.compile(r"\s+")
_TRAILER = re.compile(r"(?:\s|\(fwd\))+\Z", re.IGNORECASE)
# subj-blob = "[" *BLOBCHAR "]" *WSP
# subj-leader = *subj-blob subj-refwd, subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_BLOB = re.compile(r"\[[^\[\]]*\]\s*")
_LEADER = re.compile(r"(?:\[[^\[\]]*\]\s*)*(?:re|fwd?)\s*(?:\[[^\[\]]*\]\s*)?:|\s+", re.IGNORECASE)
_FORWARDED = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE | re.DOTALL)
_MESSAGE_ID = re.compile(r'<((?:[^<>"\s]|"(?:[^"\\]|\\.)*")+)>')
_QUOTED_LOCAL = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class BaseSubject:
    """A subject without what replying and forwarding put around it; `is_reply` if there was something."""

    text: str
    is_reply: bool


def base_subject(subject: str) -> BaseSubject:
    """RFC 5256 §2.1, steps 1 to 6, on the decoded subject. Compare the texts without case."""
    text = _WHITE_SPACE.sub(" ", subject[:MAX_SUBJECT_CHARACTERS])
    is_reply = False
    while True:
        trimmed = _TRAILER.sub("", text)
        is_reply |= trimmed.rstrip() != text.rstrip()
        text, removed = _strip_leaders(trimmed)
        is_reply |= removed
        wrapped = _FORWARDED.match(text)
        if not wrapped:
            return BaseSubject(text, is_reply)
        is_reply = True
        text = wrapped[1]


def _strip_leaders(text: str) -> tuple[str, bool]:
    """Steps 3 to 5: `Re:`, and `[list]` as long as something else is left."""
    is_reply = False
    while True:
        leader = _LEADER.match(text)
        if leader:
            is_reply |= not leader[0].isspace()
            text = text[leader.end() :]
            continue
        blob = _BLOB.match(text)
        if not blob or not text[blob.end() :].strip():
            return text, is_reply
        text = text[blob.end() :]


def find_message_ids(text: str) -> tuple[str, ...]:
    """The ids of a References, In-Reply-To or Message-ID field, quoted local parts made plain (RFC 5256 §3)."""
    found = _MESSAGE_ID.findall(text)
    return tuple(_QUOTED_LOCAL.sub(r"\1", identifier) for identifier in found)


@dataclass(frozen=True, slots=True)
class ThreadMessage:
    """What threading needs to know: `number` is whatever the answer names messages by.

    `sent` is the date of RFC 5256 §2.2: the Date field in UTC, or the internal date where there is none that can
    be read. `subject` is decoded. `references` are the ids of References, or the first one of In-Reply-To.
    """

    number: int
    sent: datetime
    subject: str = ""
    message_id: str = ""
    references: tuple[str, ...] = ()
    arrived: datetime | None = None


@dataclass(slots=True, eq=False)
class ThreadNode:
    """A message with its replies; without a message, the siblings' lost parent."""

    message: ThreadMessage | None = None
    children: list[ThreadNode] = field(default_factory=list)
    parent: ThreadNode | None = field(default=None, repr=False)


def make_references(references: str, in_reply_to: str) -> tuple[str, ...]:
    """RFC 5256 §3 step 1: References if it has any valid id, else the first id of In-Reply-To."""
    return find_message_ids(references)[-MAX_REFERENCES:] or find_message_ids(in_reply_to)[:1]


def thread_by_subject(messages: Iterable[ThreadMessage]) -> list[ThreadNode]:
    """RFC 5256 §3 ORDEREDSUBJECT: under the oldest of a subject, all others side by side."""
    groups: dict[str, list[ThreadMessage]] = {}
    for message in sorted(messages, key=_sent_order):
        groups.setdefault(base_subject(message.subject).text.casefold(), []).append(message)
    threads = []
    for group in groups.values():
        root = ThreadNode(group[0])
        for reply in group[1:]:
            _attach(root, ThreadNode(reply))
        threads.append(root)
    return threads


def thread_by_references(messages: Iterable[ThreadMessage]) -> list[ThreadNode]:
    """RFC 5256 §3 REFERENCES: parents by id, then threads of one subject joined."""
    roots = _prune(_link(messages))
    _sort(roots)
    roots = _gather_subjects(roots)
    _sort(roots)
    return roots


def thread_by_refs(messages: Iterable[ThreadMessage]) -> list[ThreadNode]:
    """REFS: as REFERENCES without the subjects, and the thread with the newest arrival comes last."""
    roots = _prune(_link(messages))
    _sort(roots)
    return sorted(roots, key=_newest)


# ---------------------------------------------------------------- steps of RFC 5256 §3


def _link(messages: Iterable[ThreadMessage]) -> list[ThreadNode]:
    """Steps 1 and 2: parents and children by message id; gives the nodes without a parent."""
    nodes: dict[str, ThreadNode] = {}
    order: list[ThreadNode] = []
    for message in messages:
        node = nodes.get(message.message_id) if message.message_id else None
        if node is None or node.message is not None:
            # No id, or one that another message has already: it stands for itself.
            node = ThreadNode()
            order.append(node)
            if message.message_id and message.message_id not in nodes:
                nodes[message.message_id] = node
        node.message = message
        _link_references(node, message.references, nodes, order)
    return [node for node in order if node.parent is None]


def _link_references(
    node: ThreadNode, references: Sequence[str], nodes: dict[str, ThreadNode], order: list[ThreadNode]
) -> None:
    previous: ThreadNode | None = None
    for identifier in references:
        current = nodes.get(identifier)
        if current is None:
            current = nodes[identifier] = ThreadNode()
            order.append(current)
        if previous is not None and current.parent is None and not _is_above(current, previous):
            _attach(previous, current)
        previous = current
    if node.parent is not None and node.parent is not previous:
        node.parent.children.remove(node)
        node.parent = None
    if previous is not None and node.parent is None and not _is_above(node, previous):
        _attach(previous, node)


def _attach(parent: ThreadNode, child: ThreadNode) -> None:
    child.parent = parent
    parent.children.append(child)


def _is_above(candidate: ThreadNode, node: ThreadNode | None) -> bool:
    """Whether `candidate` is `node` or one of its ancestors: attaching it below would make a loop."""
    if not candidate.children:
        return node is candidate
    while node is not None:
        if node is candidate:
            return True
        node = node.parent
    return False


def _walk(roots: Iterable[ThreadNode]) -> list[ThreadNode]:
    """Every node, parents before their children. Without recursion: threads can be thousands deep."""
    found = list(roots)
    for node in found:
        found.extend(node.children)
    return found


def _prune(roots: list[ThreadNode]) -> list[ThreadNode]:
    """Step 3: nodes without a message go, their children move up; at the top only if there is but one child."""
    for node in reversed(_walk(roots)):
        kept: list[ThreadNode] = []
        for child in node.children:
            if child.message is None:
                kept.extend(child.children)
            else:
                kept.append(child)
        node.children = kept
        for child in kept:
            child.parent = node
    found: list[ThreadNode] = []
    for root in roots:
        if root.message is not None or len(root.children) > 1:
            found.append(root)
        else:
            found.extend(root.children)
    for root in found:
        root.parent = None
    return found


def _sent_order(message: ThreadMessage) -> tuple[datetime, int]:
    return message.sent, message.number


def _node_order(node: ThreadNode) -> tuple[datetime, int]:
    """A lost parent counts as its first child (RFC 5256 §3 step 4)."""
    message = node.message or node.children[0].message
    assert message, "pruned: a lost parent has children with messages"
    return _sent_order(message)


def _sort(roots: list[ThreadNode]) -> None:
    """Steps 4 and 6: siblings by date sent, children before their parents."""
    for node in reversed(_walk(roots)):
        node.children.sort(key=_node_order)
    roots.sort(key=_node_order)


def _thread_subject(root: ThreadNode) -> BaseSubject:
    message = root.message or root.children[0].message
    assert message
    return base_subject(message.subject)


def _gather_subjects(roots: list[ThreadNode]) -> list[ThreadNode]:
    """Step 5: threads with one base subject become one."""
    subjects = [_thread_subject(root) for root in roots]
    table: dict[str, tuple[ThreadNode, bool]] = {}
    for root, subject in zip(roots, subjects, strict=True):
        key = subject.text.casefold()
        if not key:
            continue
        held = table.get(key)
        replaces = held is not None and held[0].message is not None and (
            root.message is None or (held[1] and not subject.is_reply)
        )  # fmt: skip
        if held is None or replaces:
            table[key] = (root, subject.is_reply)
    merged: dict[ThreadNode, ThreadNode] = {}
    result: list[ThreadNode] = []
    for root, subject in zip(roots, subjects, strict=True):
        held = table.get(subject.text.casefold())
        if held is None or held[0] is root:
            result.append(root)
        else:
            _merge(merged, held[0], held[1], root, subject.is_reply)
    return [merged.get(root, root) for root in result]


def _merge(
    merged: dict[ThreadNode, ThreadNode], held: ThreadNode, held_is_reply: bool, other: ThreadNode, is_reply: bool
) -> None:
    """Step 5.C: join `other` to the thread that stands for the subject; `merged` remembers a parent made for both."""
    target = merged.get(held, held)
    if target.message is None:
        for node in other.children if other.message is None else [other]:
            _attach(target, node)
    elif is_reply and not held_is_reply:
        _attach(target, other)
    else:
        parent = ThreadNode()
        _attach(parent, held)
        _attach(parent, other)
        merged[held] = parent


def _newest(root: ThreadNode) -> tuple[datetime, int]:
    messages = [node.message for node in _walk([root]) if node.message]
    return max((message.arrived or message.sent, message.number) for message in messages)
