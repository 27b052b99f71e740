"""Tags and profile: what the source says, the output must say too, value by value.

Both are read by the room `metadata`; what it knowingly sets, moves or leaves out is expected here
as docs/guarantees.md lists it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping

from ..metadata import edited, photoshop, with_one_packet, xmp
from ..metadata.block import (
    MAKER_NOTE,
    RESOLUTION_UNIT,
    STRUCTURAL,
    X_RESOLUTION,
    Y_RESOLUTION,
    parse,
    sub_entries,
)
from ..metadata.exif import JPEG_LIMIT, ORIENTATION, SOFTWARE, resolution
from ..metadata.ifd import EXIF_IFD, GPS_IFD, INTEROP_IFD, BrokenExif, Entry, field_of
from ..metadata.markup import Unreadable, read
from ..metadata.tiff_carrier import NOT_CARRIED
from ..photo import Metadata, Provenance
from .verdict import Check

_POINTERS = {EXIF_IFD, GPS_IFD, INTEROP_IFD}
_RESOLUTION = {X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT}
_OURS = STRUCTURAL | _POINTERS | _RESOLUTION | {SOFTWARE, ORIENTATION}
_WORD_BYTES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
_UTF8, _ASCII = 129, 2  # a TIFF writer that does not know the first takes the second
_COLOUR = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_NAMED = 5

Tags = Mapping[tuple[str, int], tuple[int, bytes]]  # by directory and number: type, big-endian


def same_profile(before: Metadata, after: Metadata) -> Check:
    """Compare the ICC profiles, byte by byte."""
    if before.icc == after.icc:
        return Check("profile", "ok")
    words = "is not the source's" if after.icc else "is lost"
    return Check("profile", "off", f"the ICC profile {words}")


def same_tags(before: Metadata, after: Metadata, format: str, made: Provenance, seed: str) -> Check:
    """Tell whether everything that the source says of itself is said by the output.

    before: as decoded, and turned where the output was turned; after: as the output is decoded.
    made, seed: what an entry in its XMP history was told, as of `metadata.edited`.
    """
    before = edited(before, made, seed)
    if format != "jpeg":
        before = with_one_packet(before)[0]
    lost = [
        *_lost_exif(before, after, format),
        *_lost_xmp(before, after, format),
        *_lost_iptc(before, after),
        *_lost_words(before, after, format),
    ]
    if not lost:
        return Check("tags", "ok")
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    return Check("tags", "off", f"lost or changed: {', '.join(lost[:_NAMED])}{more}")


def _lost_exif(before: Metadata, after: Metadata, format: str) -> Iterator[str]:
    if before.orientation != after.orientation:
        yield "Orientation"
    if not before.exif or (format == "jpeg" and len(before.exif) > JPEG_LIMIT):
        return  # what does not fit was told when it was written
    try:
        wanted, found = _tags_of(before.exif), _tags_of(after.exif)
    except BrokenExif:
        yield "EXIF"
        return
    stated = resolution(before.exif)
    if stated is not None and stated != resolution(after.exif):
        yield "resolution"
    if _note_place(before.exif) != _note_place(after.exif):
        yield "the place of the MakerNote"
    not_carried = _OURS | (NOT_CARRIED if format == "tiff" else frozenset())
    for key, value in wanted.items():
        directory, tag = key
        if directory == "IFD0" and tag in not_carried:
            continue
        if found.get(key) != value:
            yield "MakerNote" if tag == MAKER_NOTE else f"{directory} {tag}"


def _note_place(block: bytes) -> int:
    """Return where the MakerNote lies, from which offsets inside it count; 0 for none.

    Raises BrokenExif.
    """
    if not block:
        return 0
    parsed = parse(block)
    exif = sub_entries(block, parsed.layout, parsed.main, EXIF_IFD)
    return next((e.start for e in exif if e.tag == MAKER_NOTE and not e.inline), 0)


def _tags_of(block: bytes) -> Tags:
    """Read the tags of an EXIF block, those that point at directories left out."""
    if not block:
        return {}
    parsed = parse(block)
    exif = sub_entries(block, parsed.layout, parsed.main, EXIF_IFD)
    directories = {
        "IFD0": parsed.main,
        "EXIF": exif,
        "GPS": sub_entries(block, parsed.layout, parsed.main, GPS_IFD),
        "Interop": sub_entries(block, parsed.layout, exif, INTEROP_IFD),
    }
    return {
        (name, entry.tag): _value_of(block, entry, parsed.layout.order)
        for name, entries in directories.items()
        for entry in reversed(entries)  # of a tag that is there twice, readers take the first
        if entry.length and entry.tag not in _POINTERS
    }


def _value_of(block: bytes, entry: Entry, order: str) -> tuple[int, bytes]:
    """Return an entry's type and value, numbers in big-endian order."""
    data = field_of(block, entry).data
    width = _WORD_BYTES.get(entry.type, 1)
    if width > 1 and order == "<":
        letter = {2: "H", 4: "I", 8: "Q"}[width]
        count = len(data) // width
        data = struct.pack(f">{count}{letter}", *struct.unpack(f"<{count}{letter}", data))
    return (_ASCII if entry.type == _UTF8 else entry.type), data


def _lost_xmp(before: Metadata, after: Metadata, format: str) -> Iterator[str]:
    wanted, found = ((m.xmp.rstrip(b"\0"), m.extended_xmp) for m in (before, after))
    if wanted == found:
        return
    if format == "jpeg" and len(before.xmp) > xmp.JPEG_LIMIT and not after.xmp:
        return  # what does not fit was told when it was written
    try:
        missing = _properties(*wanted) - _properties(*found)
    except Unreadable:
        yield "XMP"
        return
    for name, _ in sorted(missing):
        yield "XMP " + name.decode("utf-8", "replace")


def _properties(*packets: bytes) -> Counter[tuple[bytes, bytes]]:
    """Count the properties of packets by name and value. Raises Unreadable."""
    return Counter(
        (name.local, packet[start:end])
        for packet in filter(None, packets)
        for name, start, end, _ in xmp.properties(read(packet))
        if name.local != b"HasExtendedXMP"
    )


def _lost_iptc(before: Metadata, after: Metadata) -> Iterator[str]:
    if photoshop.trimmed_iptc(before.iptc) != photoshop.trimmed_iptc(after.iptc):
        yield "IPTC"
    if _resources(before) - _resources(after):
        yield "Photoshop resources"


def _resources(metadata: Metadata) -> Counter[tuple[int, bytes]]:
    """Count the resources that are carried, but IPTC and what follows from it."""
    gone = photoshop.STALE | {photoshop.IPTC, photoshop.IPTC_DIGEST}
    found = photoshop.resources(metadata.photoshop)
    return Counter((item.number, item.data) for item in found if item.number not in gone)


def _lost_words(before: Metadata, after: Metadata, format: str) -> Iterator[str]:
    """Tell lost comments, segments and chunks: from JPEG to JPEG, from PNG to PNG."""
    if before.chunks and format == "png":
        dropped = _COLOUR if before.icc else ()
        wanted = Counter(chunk for chunk in before.chunks if chunk[0] not in dropped)
        if wanted - Counter(after.chunks):
            yield "PNG text"
    elif before.comment and format == "jpeg":
        comments = Counter((before.comment, *before.more_comments))
        if comments - Counter((after.comment, *after.more_comments)):
            yield "comment"
    if format == "jpeg" and Counter(before.segments) - Counter(after.segments):
        yield "a maker's segments"
