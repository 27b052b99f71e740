"""XML read as bytes with places, so that it can be edited without being written anew.

No entity is ever expanded and no document type read: a packet that declares one is not readable
here, and so stays as it is. One pass, no recursion, bounded in depth and in elements.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_ELEMENTS = 50_000  # of a packet: more is noise, and takes memory
MAX_DEPTH = 64
MAX_PREFIXES = 256  # declared at one place

# no "<" inside a tag, quoted or not (XML 1.0, section 2.3), so no scan runs past the next tag
_TAG = re.compile(rb"""<(/?)([^\s<>/='"!?]++)((?:[^<>'"]++|"[^"<]*+"|'[^'<]*+')*+)>""")
_ATTRIBUTE = re.compile(rb"""\s([^\s<>/='"]++)\s*+=\s*+("[^"<]*+"|'[^'<]*+')""")
_SKIPPED = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))

Scope = dict[bytes, bytes]


class Unreadable(ValueError):
    """The bytes are no XML that may be edited here."""


class Name(NamedTuple):
    """A name as XML means it: the namespace its prefix stands for, and the local name."""

    space: bytes
    local: bytes


NOTHING = Name(b"", b"")


class Attribute(NamedTuple):
    """An attribute: its name, where it lies with the blank before it, where its value lies."""

    name: Name
    start: int
    end: int
    value_start: int
    value_end: int


class Element(NamedTuple):
    """An element.

    start, end:     where it lies, tags included.
    opened, closed: where its content begins and ends; the same for an empty element.
    parent:         number of the element around it, -1 for none.
    prefix:         of its name, with the colon; b"" where it has none.
    scope:          what each prefix stands for inside it.
    """

    name: Name
    start: int
    opened: int
    closed: int
    end: int
    parent: int
    prefix: bytes
    scope: Scope


class Document(NamedTuple):
    """A packet and its elements in the order of their start tags."""

    data: bytes
    elements: list[Element]

    def children(self, parent: int) -> list[int]:
        """Return the numbers of the elements directly inside one."""
        return [i for i, element in enumerate(self.elements) if element.parent == parent]

    def parent_name(self, element: Element) -> Name:
        """Return the name of the element around one, empty at the top."""
        return self.elements[element.parent].name if element.parent >= 0 else NOTHING

    def attributes(self, element: Element) -> list[Attribute]:
        """Return an element's attributes, declarations of namespaces left out."""
        found = []
        for match in _ATTRIBUTE.finditer(self.data, element.start, element.opened):
            prefix, colon, local = match[1].rpartition(b":")
            if match[1] == b"xmlns" or prefix == b"xmlns":
                continue
            space = element.scope.get(prefix, b"") if colon else b""
            span = (match.start(), match.end(), match.start(2) + 1, match.end(2) - 1)
            found.append(Attribute(Name(space, local), *span))
        return found


def read(data: bytes) -> Document:
    """Find the elements of a packet in UTF-8. Raises Unreadable."""
    if b"\0" in data[:64]:
        raise Unreadable("not UTF-8")
    elements: list[Element] = []
    open_ones: list[int] = []
    position = data.find(b"<")
    while position >= 0:
        end = _past_skipped(data, position)
        if end < 0:
            end = _read_tag(data, position, elements, open_ones)
        position = data.find(b"<", end)
    if open_ones:
        raise Unreadable("an element is not closed")
    return Document(data, elements)


def _past_skipped(data: bytes, position: int) -> int:
    """Return where a comment, text section or instruction ends, -1 where a tag begins."""
    for begin, finish in _SKIPPED:
        if data.startswith(begin, position):
            found = data.find(finish, position + len(begin))
            if found < 0:
                raise Unreadable("it is cut short")
            return found + len(finish)
    return -1


def _read_tag(data: bytes, position: int, elements: list[Element], open_ones: list[int]) -> int:
    """Take one tag into the elements; return where it ends. Raises Unreadable."""
    match = _TAG.match(data, position)
    if match is None:  # a document type, too
        raise Unreadable("it holds what is no element")
    if match[1]:
        if not open_ones:
            raise Unreadable("an element is closed that was not opened")
        number = open_ones.pop()
        element = elements[number]
        if element.prefix + element.name.local != match[2]:
            raise Unreadable("elements overlap")
        elements[number] = element._replace(closed=match.start(), end=match.end())
        return match.end()
    if len(elements) >= MAX_ELEMENTS or len(open_ones) >= MAX_DEPTH:
        raise Unreadable("it is too large or too deep")
    parent = open_ones[-1] if open_ones else -1
    scope = _scope(match[3], elements[parent].scope if open_ones else {})
    prefix, colon, local = match[2].rpartition(b":")
    name = Name(scope.get(prefix, b""), local)
    end = match.end()
    elements.append(Element(name, position, end, end, end, parent, prefix + colon, scope))
    if not match[3].endswith(b"/"):
        open_ones.append(len(elements) - 1)
    return end


def _scope(attributes: bytes, around: Scope) -> Scope:
    """Add the namespaces that a start tag declares to those around it."""
    if b"xmlns" not in attributes:
        return around
    declared = {}
    for match in _ATTRIBUTE.finditer(attributes):
        prefix, _, local = match[1].rpartition(b":")
        if prefix == b"xmlns":
            declared[local] = match[2][1:-1]
        elif match[1] == b"xmlns":
            declared[b""] = match[2][1:-1]
    if len(around) + len(declared) > MAX_PREFIXES:
        raise Unreadable("it declares too many namespaces")
    return around | declared


def spliced(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Replace (start, end) of the data by new bytes, everything else to the byte as it is.

    edits: in any order; one that begins inside an earlier one is passed over.
    """
    parts = []
    position = 0
    for start, end, new in sorted(edits):
        if start < position:
            continue
        parts += [data[position:start], new]
        position = end
    return b"".join([*parts, data[position:]])
