"""What was done to a photo, told in the history that its XMP keeps.

XMP Specification Part 2 (2022), sections 1.2.6.3 (ResourceEvent) and 2.2 (xmpMM). Nothing here
comes from a clock or from chance: the same photo retouched twice alike gives the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from html import escape
from typing import NamedTuple
from uuid import UUID

from ..photo import Metadata, Provenance
from . import exif, xmp
from .ifd import BrokenExif
from .markup import Document, Element, Name, Unreadable, read, spliced

_MM_SPACE = b"http://ns.adobe.com/xap/1.0/mm/"
_EVENT_SPACE = b"http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_HISTORY = Name(_MM_SPACE, b"History")
_INSTANCE = Name(_MM_SPACE, b"InstanceID")
_MODIFIED = Name(b"http://ns.adobe.com/xap/1.0/", b"ModifyDate")
_DATE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?")


class Event(NamedTuple):
    """One entry of a history; values as text, empty where nothing is to be said."""

    instance: str
    when: str
    agent: str
    parameters: str


def event_of(metadata: Metadata, provenance: Provenance, seed: str) -> Event:
    """Make the entry for an output.

    seed: what tells this output from every other; its name is made from it. Its date is the
    source's own last one: when the retouch ran is nothing that may change the bytes.
    """
    made = provenance.task or provenance.style
    facts = (seed, provenance.version, made, provenance.weights, provenance.strength)
    digest = sha256(repr(facts).encode("utf-8", "backslashreplace")).digest()
    parts = [
        f"task {provenance.task}" if provenance.task else "",
        f"style {provenance.style}" if provenance.style else "",
        "" if provenance.strength is None else f"strength {provenance.strength:g}",
        f"weights sha256 {provenance.weights}" if provenance.weights else "",
    ]
    return Event(
        instance=f"xmp.iid:{UUID(bytes=digest[:16], version=5)}",
        when=_when(metadata),
        agent=f"abpn {provenance.version}",
        parameters=", ".join(filter(None, parts)),
    )


def _when(metadata: Metadata) -> str:
    """Return the date of the photo's last change, by its XMP or else its EXIF; "" for none."""
    said = xmp.value_of(metadata.xmp, _MODIFIED)
    if _DATE.fullmatch(said):
        return said.decode("ascii")
    try:
        return exif.modified(metadata.exif) if metadata.exif else ""
    except BrokenExif:
        return ""


def told(metadata: Metadata, event: Event) -> Metadata:
    """Return metadata with the event in its history; as it was where its XMP keeps none.

    Where it does, xmpMM:InstanceID becomes the event's: it names the file written, as the event
    does. xmpMM:DocumentID stays, the document being the same.
    """
    packet = _with_event(metadata.xmp, event)
    extended = metadata.extended_xmp
    try:
        if packet == metadata.xmp:
            extended = _with_event(extended, event)
            if extended == metadata.extended_xmp:
                return metadata
            packet = xmp.pointing_at(packet, extended)
    except Unreadable:
        return metadata
    instance = event.instance.encode("ascii")
    packet = xmp.with_value(packet, _INSTANCE, instance, lambda old: b"<" not in old)
    return replace(metadata, xmp=packet, extended_xmp=extended)


def _with_event(packet: bytes, event: Event) -> bytes:
    """Append an event to the history sequence of a packet, where it holds one."""
    if _HISTORY.local not in packet:
        return packet
    try:
        document = read(packet)
    except Unreadable:
        return packet
    for number, element in enumerate(document.elements):
        around = document.parent_name(element)
        if element.name == xmp.SEQUENCE and around == _HISTORY:
            return _appended(document, number, _entry(element, event))
    return packet


def _appended(document: Document, number: int, entry: bytes) -> bytes:
    """Put an entry behind the last one of a sequence, indented like it."""
    sequence = document.elements[number]
    if sequence.opened == sequence.end:  # <rdf:Seq/>
        tag = sequence.prefix + sequence.name.local
        whole = b"<%s>%s</%s>" % (tag, entry, tag)
        return spliced(document.data, [(sequence.start, sequence.end, whole)])
    inside = document.data[sequence.opened : sequence.closed].rstrip()
    at = sequence.opened + len(inside)
    entries = document.children(number)
    first = document.elements[entries[0]].start if entries else sequence.opened
    before = document.data[sequence.opened : first]
    blank = before[len(before.rstrip()) :]
    return spliced(document.data, [(at, at, blank + entry)])


def _entry(sequence: Element, event: Event) -> bytes:
    """Write an event as an element of a sequence, in the prefixes known there."""
    known = (prefix for prefix, space in sequence.scope.items() if space == _EVENT_SPACE)
    name = next((prefix for prefix in known if prefix), b"")
    declared = b"" if name else b' xmlns:stEvt="%s"' % _EVENT_SPACE
    said = (
        (b"action", "edited"),
        (b"instanceID", event.instance),
        (b"when", event.when),
        (b"softwareAgent", event.agent),
        (b"changed", "/"),
        (b"parameters", event.parameters),
    )
    words = b"".join(
        b' %s:%s="%s"' % (name or b"stEvt", key, _attribute(text)) for key, text in said if text
    )
    return b"<%sli%s%s/>" % (sequence.prefix, declared, words)


def _attribute(text: str) -> bytes:
    """Return text as the value of an XML attribute, without what XML cannot hold."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return escape(plain, quote=True).encode("utf-8", "replace")
