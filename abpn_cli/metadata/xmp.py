"""XMP packets, edited as bytes: only what we must change changes.

XMP Specification Part 1 (2012) and Part 3 (2020), section 1.1.3.1 for the extended packet. A
packet that cannot be edited safely (UTF-16, a document type, damage) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import md5

from .markup import NOTHING, Attribute, Document, Element, Name, Unreadable, read, spliced

JPEG_LIMIT = 65502  # bytes of XMP that fit into one JPEG segment

_RDF_SPACE = b"http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RDF = Name(_RDF_SPACE, b"RDF")
_DESCRIPTION = Name(_RDF_SPACE, b"Description")
_ABOUT = Name(_RDF_SPACE, b"about")
SEQUENCE = Name(_RDF_SPACE, b"Seq")
_NOTE_SPACE = b"http://ns.adobe.com/xmp/note/"
_HAS_EXTENDED = Name(_NOTE_SPACE, b"HasExtendedXMP")
_POINTER = b' xmlns:xmpNote="%s" xmpNote:HasExtendedXMP="%s"'
_POINTER_BYTES = len(_POINTER % (_NOTE_SPACE, b"0" * 32))
TIFF_SPACE = b"http://ns.adobe.com/tiff/1.0/"
EXIF_SPACE = b"http://ns.adobe.com/exif/1.0/"

# What describes an image or a clip that lies behind the photo: by Adobe, Apple and Google.
_SECOND_IMAGE = (
    b"http://ns.adobe.com/hdr-gain-map/",
    b"http://ns.apple.com/HDRGainMap/",
    b"http://ns.google.com/photos/1.0/depthmap/",
    b"http://ns.google.com/photos/1.0/image/",
    b"http://ns.google.com/photos/1.0/container/",
    b"http://ns.google.com/photos/dd/1.0/",
)
_CAMERA_SPACE = b"http://ns.google.com/photos/1.0/camera/"
_CLIP = (b"MicroVideo", b"MotionPhoto")
_MAX_MOVED, _MAX_SPACES_BYTES = 256, 16384  # descriptions from packet to packet, and their names

Edit = tuple[int, int, bytes]


def properties(document: Document) -> Iterator[tuple[Name, int, int, Attribute | Element]]:
    """Yield the properties of a packet: name, where the value begins and ends, what holds it."""
    tops: set[int] = set()  # the descriptions of the photo itself, not those inside a value
    for number, element in enumerate(document.elements):
        if element.name == _DESCRIPTION and document.parent_name(element) in (_RDF, NOTHING):
            tops.add(number)
            for attribute in document.attributes(element):
                if attribute.name != _ABOUT:
                    yield attribute.name, attribute.value_start, attribute.value_end, attribute
        elif element.parent in tops:
            yield element.name, element.opened, element.closed, element


def value_of(packet: bytes, name: Name) -> bytes:
    """Return the text of a property, empty where the packet does not hold it as plain text."""
    try:
        document = read(packet)
    except Unreadable:
        return b""
    values = (packet[start:end] for found, start, end, _ in properties(document) if found == name)
    return next((value.strip() for value in values if b"<" not in value), b"")


def with_value(packet: bytes, name: Name, value: bytes, fits: Callable[[bytes], bool]) -> bytes:
    """Set a property wherever the packet holds it as an attribute or a plain element.

    fits: tells of the old text whether it is to be replaced.
    """
    if name.local not in packet:
        return packet
    try:
        document = read(packet)
    except Unreadable:
        return packet
    edits = [
        (start, end, value)
        for found, start, end, _ in properties(document)
        if found == name and fits(packet[start:end])
    ]
    return spliced(packet, edits)


def with_number(packet: bytes, name: Name, value: int) -> bytes:
    """Set a numeric property wherever the packet holds it, as attribute or as element."""
    return with_value(packet, name, b"%d" % value, bytes.isdigit)


def without_second_image(packet: bytes) -> bytes:
    """Drop what describes an image behind the photo (gain map, depth map, clip): it is not carried.

    A packet that holds nothing else comes back empty.
    """
    if not any(space in packet for space in (*_SECOND_IMAGE, _CAMERA_SPACE)):
        return packet
    try:
        document = read(packet)
    except Unreadable:
        return packet
    kept = any(not _is_second_image(name) for name, *_ in properties(document))
    return spliced(packet, _cuts(document, _is_second_image)) if kept else b""


def _is_second_image(name: Name) -> bool:
    if name.space == _CAMERA_SPACE:
        return name.local.startswith(_CLIP)
    return name.space.startswith(_SECOND_IMAGE)


def _cuts(document: Document, unwanted: Callable[[Name], bool]) -> list[Edit]:
    """Return the edits that take properties out, attributes with the blanks before them."""
    edits = []
    for name, _, _, holder in properties(document):
        if unwanted(name):
            start = holder.start
            while isinstance(holder, Attribute) and document.data[start - 1 : start].isspace():
                start -= 1
            edits.append((start, holder.end, b""))
    return edits


def extended_guid(packet: bytes) -> bytes:
    """Return the name of the extended packet that a packet asks for, empty where it asks none."""
    found = re.search(rb"HasExtendedXMP[^0-9A-Fa-f]{1,8}([0-9A-Fa-f]{32})", packet)
    return found.group(1) if found else b""


def guid_of(extended: bytes) -> bytes:
    """Return the name an extended packet must have: its MD5 in hexadecimal."""
    return md5(extended, usedforsecurity=False).hexdigest().upper().encode()


def pointing_at(packet: bytes, extended: bytes) -> bytes:
    """Return the packet with the name of this extended packet in it. Raises Unreadable."""
    name = guid_of(extended)
    changed = with_value(packet, _HAS_EXTENDED, name, lambda _: True)
    if extended_guid(changed) == name:
        return changed
    document = read(packet)
    first = next((e for e in document.elements if e.name == _DESCRIPTION), None)
    if first is None:
        raise Unreadable("no rdf:Description")
    at = first.start + 1 + len(first.prefix) + len(_DESCRIPTION.local)
    return spliced(packet, [(at, at, _POINTER % (_NOTE_SPACE, name))])


def without_extended(packet: bytes) -> bytes:
    """Drop the pointer to an extended packet that is not carried."""
    if _HAS_EXTENDED.local not in packet:
        return packet
    try:
        document = read(packet)
    except Unreadable:
        return packet
    return spliced(packet, _cuts(document, lambda name: name == _HAS_EXTENDED))


def merged(packet: bytes, extended: bytes) -> bytes | None:
    """Join a packet and its extended packet for a format without a size limit.

    Returns None where one of them cannot be read.
    """
    try:
        rest = read(extended)
        found = [
            element
            for element in rest.elements
            if element.name == _DESCRIPTION and rest.parent_name(element) == _RDF
        ]
        _check_growth(found)
        moved = [_with_namespaces(extended[e.start : e.end], e) for e in found]
        joined = _with_descriptions(packet, b"".join(moved))
    except Unreadable:
        return None
    return without_extended(joined) if moved else None


def _check_growth(elements: list[Element]) -> None:
    """Refuse elements that would grow out of bounds, each being given all its namespaces.

    Raises Unreadable.
    """
    longest = max((sum(map(len, e.scope.values())) for e in elements), default=0)
    if len(elements) > _MAX_MOVED or longest > _MAX_SPACES_BYTES:
        raise Unreadable("too much to move")


def _with_descriptions(packet: bytes, more: bytes) -> bytes:
    """Put further rdf:Description elements at the end of a packet's rdf:RDF. Raises Unreadable."""
    ends = [e.closed for e in read(packet).elements if e.name == _RDF and e.closed < e.end]
    if not ends:
        raise Unreadable("no rdf:RDF")
    return spliced(packet, [(max(ends), max(ends), more)])


def _with_namespaces(text: bytes, element: Element) -> bytes:
    """Return an element's bytes with the namespaces declared that its surroundings gave it."""
    own = text[: element.opened - element.start]
    missing = [
        b" xmlns:%s=%s" % (prefix, _quoted(space))
        for prefix, space in element.scope.items()
        if prefix and not re.search(rb"\sxmlns:%s\s*+=" % re.escape(prefix), own)
    ]
    at = 1 + len(element.prefix) + len(element.name.local)
    return text[:at] + b"".join(missing) + text[at:]


def _quoted(value: bytes) -> bytes:
    return b"'%s'" % value if b'"' in value else b'"%s"' % value


def divided(packet: bytes, extended: bytes) -> tuple[bytes, bytes] | None:
    """Divide a packet too large for a JPEG: its largest properties go to the extended packet.

    extended: the one it has already, or empty. Returns both, None where it cannot be done.
    """
    packet = without_padding(packet)
    try:
        document = read(packet)
        moved, taken = _largest(document, len(packet) - JPEG_LIMIT + _POINTER_BYTES)
        if not moved:
            raise Unreadable("no property is large enough")
        extended = _with_descriptions(extended, moved) if extended else _wrapped(moved)
        return pointing_at(spliced(packet, taken), extended), extended
    except Unreadable:
        return None if extended else _all_extended(packet)


def _largest(document: Document, surplus: int) -> tuple[bytes, list[Edit]]:
    """Choose the largest properties until the surplus is gone, empty where it cannot go.

    Returns them as rdf:Description elements, and the edits that take them out. Raises Unreadable.
    """
    held = [item for *_, item in properties(document) if isinstance(item, Element)]
    chosen: dict[int, list[Element]] = {}
    for element in sorted(held, key=lambda item: item.start - item.end):
        if surplus <= 0:
            break
        surplus -= element.end - element.start
        chosen.setdefault(element.parent, []).append(element)
    if surplus > 0:
        return b"", []
    _check_growth([document.elements[parent] for parent in chosen])
    parts = []
    for parent, moved in sorted(chosen.items()):
        around = document.elements[parent]
        about = [a for a in document.attributes(around) if a.name == _ABOUT]
        said = document.data[about[0].start : about[0].end] if about else b""
        head = b"<%sDescription" % around.prefix
        names = (b" xmlns:%s=%s" % (k, _quoted(v)) for k, v in around.scope.items() if k)
        inside = (document.data[e.start : e.end] for e in sorted(moved, key=lambda e: e.start))
        parts += [head, said, *names, b">", *inside, b"</%sDescription>" % around.prefix]
    edits = [(e.start, e.end, b"") for moved in chosen.values() for e in moved]
    return b"".join(parts), edits


def _wrapped(descriptions: bytes) -> bytes:
    head = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%s">' % _RDF_SPACE
    return head + descriptions + b"</rdf:RDF></x:xmpmeta>"


def _all_extended(packet: bytes) -> tuple[bytes, bytes]:
    """Make a packet that cannot be taken apart the extended one of a packet that says nothing."""
    begin, end = packet.find(b"?>"), packet.rfind(b"<?xpacket")
    wrapped = packet.startswith(b"<?xpacket") and 0 < begin < end
    extended = (packet[begin + 2 : end] if wrapped else packet).strip()
    pointer = _POINTER % (_NOTE_SPACE, guid_of(extended))
    small = _wrapped(b'<rdf:Description rdf:about=""' + pointer + b"/>")
    head = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    return head + small + b'<?xpacket end="w"?>', extended


def without_padding(packet: bytes) -> bytes:
    """Return the packet without the blanks that leave room for editing in place."""
    end = packet.rfind(b"<?xpacket end")
    if end < 0:
        return packet
    text = packet[:end].rstrip()
    return text + b"\n" + packet[end:] if end - len(text) >= 64 else packet
