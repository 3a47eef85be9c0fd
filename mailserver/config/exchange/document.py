# SPDX-License-Identifier: MIT
"""Reading a configuration file so that every complaint names its line: YAML 1.1, and JSON, nearly a part of it.

Pure. Scalars are taken as they are written: a password of digits stays a text, and `yes` is understood where a yes or
no is expected. What a key means is decided in `importing.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mailserver.errors import InvalidInput

_NULL = "tag:yaml.org,2002:null"
_YES = frozenset({"true", "yes", "on"})
_NO = frozenset({"false", "no", "off"})


class Complaints:
    """What is wrong with a file, by line."""

    def __init__(self) -> None:
        self._by_line: dict[int, list[str]] = {}

    def add(self, node: Node, text: str) -> None:
        self._by_line.setdefault(node.start_mark.line + 1, []).append(text)

    @contextmanager
    def about(self, node: Node, places: Mapping[str, Node] | None = None) -> Iterator[None]:
        """InvalidInput raised within is about this node, or about the one among `places` that it names."""
        try:
            yield
        except InvalidInput as error:
            for place, texts in error.messages.items():
                for text in texts:
                    self.add((places or {}).get(place, node), text)

    def raise_any(self) -> None:
        """Raises InvalidInput with all of them, in the order of the file."""
        if self._by_line:
            raise InvalidInput({f"line {line}": self._by_line[line] for line in sorted(self._by_line)})


def parse_document(text: str) -> Node | None:
    """The file's root, or None for an empty one; raises InvalidInput with the line where the syntax breaks."""
    if text.lstrip().startswith("{") and _is_json(text):
        text = text.replace("\t", " ")  # JSON indents with tabs too; inside its strings there are none
    try:
        root: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput({f"line {line}": [f"This cannot be read: {error.problem or error.context}."]}) from None
    except yaml.YAMLError as error:
        raise InvalidInput({"line 1": [f"This cannot be read: {error}."]}) from None
    return root


class Reading:
    """Takes nodes apart; what does not fit becomes a complaint, and reading goes on."""

    def __init__(self, complaints: Complaints) -> None:
        self.complaints = complaints

    def mapping(self, node: Node, known: Collection[str]) -> dict[str, Node]:
        """Keys and values; a key that is not known, or written twice, is a complaint. Null values are left out."""
        if is_null(node):
            return {}
        if not isinstance(node, MappingNode):
            self.complaints.add(node, "Here belong lines of the form `key: value`.")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else ""
            if name not in known:
                self.complaints.add(key, f"There is no key {name!r} here; there are {', '.join(known)}.")
            elif name in found:
                self.complaints.add(key, f"The key {name!r} is written twice.")
            elif not is_null(value):
                found[name] = value
        return found

    def entries(self, node: Node) -> list[tuple[str, Node]]:
        """Keys and values where the keys are names of things, null values left out."""
        if is_null(node):
            return []
        if not isinstance(node, MappingNode):
            self.complaints.add(node, "Here belong lines of the form `name: value`.")
            return []
        return [(str(key.value), value) for key, value in node.value if not is_null(value)]

    def sequence(self, node: Node) -> Sequence[Node]:
        if is_null(node):
            return []
        if not isinstance(node, SequenceNode):
            self.complaints.add(node, "Here belongs a list: lines that start with `- `, or [one, two].")
            return []
        return list(node.value)

    def text(self, node: Node | None, default: str = "") -> str:
        if node is None:
            return default
        if not isinstance(node, ScalarNode):
            self.complaints.add(node, "Here belongs one text.")
            return default
        return "" if is_null(node) else str(node.value)

    def number(self, node: Node | None, default: int = 0) -> int:
        if node is None:
            return default
        try:
            return int(self.text(node, "x"))
        except ValueError:
            self.complaints.add(node, "Here belongs a whole number.")
            return default

    def boolean(self, node: Node | None, default: bool = False) -> bool:
        if node is None:
            return default
        text = self.text(node).lower()
        if text not in _YES | _NO:
            self.complaints.add(node, "Here belongs yes or no.")
        return text in _YES

    def texts(self, node: Node | None) -> list[str]:
        return [self.text(item) for item in self.sequence(node)] if node is not None else []


def is_null(node: Node) -> bool:
    """Nothing is written behind the key."""
    return isinstance(node, ScalarNode) and node.tag == _NULL


def format_yaml(document: Mapping[str, object]) -> str:
    """The document as YAML, sections in their order."""
    text: str = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=110)
    return text


def format_json(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
