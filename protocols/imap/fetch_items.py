# SPDX-License-Identifier: MIT
"""What FETCH may ask for, and how it is written.

RFC 9051 §6.4.5 and RFC 3501 §6.4.5, with CONDSTORE (RFC 7162 §3.1.4), OBJECTID (RFC 8474 §5), SAVEDATE
(RFC 8514 §4), PREVIEW (RFC 8970 §3) and BINARY (RFC 3516 §4). Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailserver.mime.sections import Section, SectionText
from protocols.imap.lexer import GrammarError, Lexer
from protocols.imap.sequence import MAX_NUMBER

MAX_FETCH_ITEMS = 500
"""Items in one FETCH. Mail programs ask for a handful; each may cost reading a message."""

MAX_PART_DEPTH = 100
"""Numbers in one part specifier; no deeper structure is kept (`mailserver.mime.structure`)."""

MAX_OFFSET = (1 << 63) - 1
"""RFC 9051 §9 partial takes number64."""


class Attribute(enum.Enum):
    """Items that take no argument."""

    FLAGS = "FLAGS"
    UID = "UID"
    INTERNALDATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    MODSEQ = "MODSEQ"
    EMAILID = "EMAILID"
    THREADID = "THREADID"
    SAVEDATE = "SAVEDATE"

    # Enum's own goes by the name, in Python; there is one of each.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Preview:
    """RFC 8970 §3.1: `lazy` asks only for what is at hand."""

    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """RFC 9051 §6.4.5 `<start.size>`."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class BodySection:
    """BODY[...], and RFC822 with its relatives under their own `label` (RFC 3501 §6.4.5).

    `label` is what the answer repeats. Without `peek`, fetching sets the \\Seen flag.
    """

    section: Section
    label: str
    peek: bool = False
    extent: Extent | None = None


@dataclass(frozen=True, slots=True)
class BinarySection:
    """BINARY[...]: the part with its transfer encoding undone (RFC 9051 §6.4.5)."""

    part: tuple[int, ...]
    label: str
    peek: bool = False
    extent: Extent | None = None


@dataclass(frozen=True, slots=True)
class BinarySize:
    """BINARY.SIZE[...]."""

    part: tuple[int, ...]
    label: str


FetchItem = Attribute | Preview | BodySection | BinarySection | BinarySize

_SIMPLE: Mapping[str, FetchItem] = {attribute.value: attribute for attribute in Attribute} | {
    "RFC822": BodySection(Section(), "RFC822"),
    "RFC822.HEADER": BodySection(Section(text=SectionText.HEADER), "RFC822.HEADER", peek=True),
    "RFC822.TEXT": BodySection(Section(text=SectionText.TEXT), "RFC822.TEXT"),
}
_MACROS: dict[str, tuple[FetchItem, ...]] = {
    "FAST": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE),
    "ALL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE),
    "FULL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE, Attribute.BODY),
}
_BRACKETED = {"BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE"}
_SECTION_TEXTS = {text.value: text for text in SectionText if text.value}

# section-part = nz-number *("." nz-number)
_PART = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_ATOM_FIELD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")


def parse_fetch_items(lexer: Lexer) -> tuple[FetchItem, ...]:
    """RFC 9051 §9 fetch: a macro, one item, or a list of items; repeats are dropped."""
    if lexer.peek() != b"(":
        macro = _MACROS.get(lexer.peek_label())
        if macro:
            lexer.label()
            return macro
        return (parse_fetch_item(lexer),)
    items = tuple(dict.fromkeys(lexer.list_of(lambda: parse_fetch_item(lexer))))
    if len(items) > MAX_FETCH_ITEMS:
        raise GrammarError("too many items")
    return items


def parse_fetch_item(lexer: Lexer) -> FetchItem:
    """RFC 9051 §9 fetch-att."""
    label = lexer.label()
    if lexer.peek() == b"[" and label in _BRACKETED:
        return _parse_bracketed(lexer, label)
    if label == "PREVIEW":
        return _parse_preview(lexer)
    item = _SIMPLE.get(label)
    if item is None:
        raise GrammarError("unknown item")
    return item


def _parse_preview(lexer: Lexer) -> Preview:
    """RFC 8970 §3.1 and §6: "PREVIEW" [SP "(" "LAZY" ")"]."""
    if not lexer.take(b" ("):
        return Preview()
    if lexer.label() != "LAZY":
        raise GrammarError("unknown modifier of PREVIEW")
    lexer.expect(b")")
    return Preview(lazy=True)


def _parse_bracketed(lexer: Lexer, label: str) -> FetchItem:
    name, _, suffix = label.partition(".")
    if name == "BINARY":
        part = _parse_binary_part(lexer)
        written = f"{name}{'.SIZE' if suffix == 'SIZE' else ''}[{format_part(part)}]"
        if suffix == "SIZE":
            return BinarySize(part, written)
        extent = _parse_extent(lexer)
        return BinarySection(part, written + _origin(extent), suffix == "PEEK", extent)
    section = parse_section(lexer)
    extent = _parse_extent(lexer)
    return BodySection(section, f"BODY[{format_section(section)}]" + _origin(extent), suffix == "PEEK", extent)


def _origin(extent: Extent | None) -> str:
    return f"<{extent.start}>" if extent else ""


def _parse_binary_part(lexer: Lexer) -> tuple[int, ...]:
    lexer.expect(b"[")
    part = _parse_part(lexer)
    lexer.expect(b"]")
    return part


def _parse_part(lexer: Lexer) -> tuple[int, ...]:
    found = lexer.match(_PART)
    if not found:
        return ()
    part = tuple(int(number) for number in found[0].split(b"."))
    if len(part) > MAX_PART_DEPTH or max(part) > MAX_NUMBER:
        raise GrammarError("no such part")
    return part


def parse_section(lexer: Lexer) -> Section:
    """RFC 9051 §9 section, brackets included."""
    lexer.expect(b"[")
    part = _parse_part(lexer)
    if lexer.take(b"]"):
        return Section(part)
    if part:
        lexer.expect(b".")
    text = _SECTION_TEXTS.get(lexer.label())
    if text is None or (text is SectionText.MIME and not part):
        raise GrammarError("unknown section")
    fields: tuple[str, ...] = ()
    if text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
        lexer.space()
        fields = lexer.list_of(lambda: _parse_field_name(lexer))
    lexer.expect(b"]")
    return Section(part, text, fields)


def _parse_field_name(lexer: Lexer) -> str:
    """RFC 9051 §9 header-fld-name; a name that could not be echoed in a reply is refused."""
    name = lexer.astring_text()
    if not name.isprintable():
        raise GrammarError("bad header field name")
    return name


def _parse_extent(lexer: Lexer) -> Extent | None:
    if not lexer.take(b"<"):
        return None
    start = lexer.number(MAX_OFFSET)
    lexer.expect(b".")
    size = lexer.nz_number(MAX_OFFSET)
    lexer.expect(b">")
    return Extent(start, size)


def format_part(part: tuple[int, ...]) -> str:
    return ".".join(map(str, part))


def format_section(section: Section) -> str:
    """The words between the brackets."""
    words = format_part(section.part)
    if section.text is not SectionText.WHOLE:
        words += ("." if words else "") + section.text.value
    if section.fields:
        words += f" ({' '.join(map(_format_field_name, section.fields))})"
    return words


def _format_field_name(name: str) -> str:
    if _ATOM_FIELD.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def format_fetch_item(item: FetchItem) -> str:
    """What a client writes to ask for the item."""
    if isinstance(item, Attribute):
        return item.value
    if isinstance(item, Preview):
        return "PREVIEW (LAZY)" if item.lazy else "PREVIEW"
    if isinstance(item, BinarySize) or item.label.startswith("RFC822"):
        return item.label
    name, _, rest = item.label.partition("[")
    written = f"{name}{'.PEEK' if item.peek else ''}[{rest.rpartition(']')[0]}]"
    return written + (f"<{item.extent.start}.{item.extent.size}>" if item.extent else "")
