"""The EXIF block: reading it, building it, rewriting its main directory without moving the rest.

A MakerNote may hold offsets from the start of the block that only its maker understands. So
nothing old is ever moved: a new main directory is put behind the block and the header's pointer
set to it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import NamedTuple

from .ifd import (
    EXIF_IFD,
    GPS_IFD,
    HEADER_BYTES,
    INTEROP_IFD,
    BrokenExif,
    Entry,
    Field,
    Layout,
    integer,
    long,
    place_directory,
    rational,
    read_directory,
    read_layout,
    short,
)

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
MAKER_NOTE = 37500
THUMBNAIL_OFFSET, THUMBNAIL_BYTES = 513, 514

# Tags that say how the pixels of a file are stored: always the writer's, never the source's.
STRUCTURAL = frozenset(
    [*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 301]
    + [*range(317, 326), 330, 332, *range(338, 343), 347, 351, *range(512, 522), *range(529, 533)]
)

Range = tuple[int, int]


class Parsed(NamedTuple):
    """The two directories of a block that we rewrite."""

    layout: Layout
    main: list[Entry]
    main_range: Range
    thumb: list[Entry]
    thumb_range: Range


def parse(block: bytes) -> Parsed:
    """Read the directories of a block; raise BrokenExif where the main one cannot be read."""
    layout = read_layout(block)
    if layout.big:
        raise BrokenExif("EXIF in a BigTIFF structure")
    main, following = read_directory(block, layout, layout.first)
    main_range = _directory_range(block, layout, layout.first)
    if following in (0, layout.first):
        return Parsed(layout, main, main_range, [], (0, 0))
    try:
        thumb, _ = read_directory(block, layout, following)
    except BrokenExif:  # a damaged thumbnail directory costs the thumbnail, which is renewed
        return Parsed(layout, main, main_range, [], (0, 0))
    return Parsed(layout, main, main_range, thumb, _directory_range(block, layout, following))


def _directory_range(block: bytes, layout: Layout, offset: int) -> Range:
    (count,) = struct.unpack_from(layout.order + "H", block, offset)
    return offset, min(offset + 2 + 12 * count + 4, len(block))


def from_directories(
    layout: Layout,
    main: list[Field],
    exif: list[Field],
    gps: list[Field],
    interop: list[Field],
    maker_note_at: int = 0,
) -> bytes:
    """Build a block from directories.

    maker_note_at: an offset to keep the MakerNote at, so that offsets inside it stay true; the
    bytes before it are zeros. 0: anywhere.
    """
    order = layout.order
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + b"\0\0\0\0")
    kept = []
    note = next((field for field in exif if field.tag == MAKER_NOTE and len(field.data) > 4), None)
    if note is not None and maker_note_at >= HEADER_BYTES:
        out += b"\0" * (maker_note_at - len(out)) + note.data
        kept = [struct.pack(order + "HHII", *note[:3], maker_note_at)]
        exif = [other for other in exif if other is not note]
    if interop:
        offset, _ = place_directory(out, order, [], interop)
        exif = [*exif, long(order, INTEROP_IFD, offset)]
    if exif or kept:
        offset, _ = place_directory(out, order, kept, exif)
        main = [*main, long(order, EXIF_IFD, offset)]
    if gps:
        offset, _ = place_directory(out, order, [], gps)
        main = [*main, long(order, GPS_IFD, offset)]
    offset, _ = place_directory(out, order, [], main)
    struct.pack_into(order + "I", out, 4, offset)
    return bytes(out)


def sub_entries(block: bytes, layout: Layout, entries: list[Entry], tag: int) -> list[Entry]:
    """Return the entries of the directory that a tag points at, none where it cannot be read."""
    offset = integer(block, layout, entries, tag)
    if offset is None:
        return []
    try:
        return read_directory(block, layout, offset)[0]
    except BrokenExif:
        return []


def rewrite(
    block: bytes,
    dropped: frozenset[int],
    changes: list[Field],
    thumbnail: bytes | None,
) -> bytes:
    """Put a new main directory behind the block, and a new thumbnail directory with it.

    dropped:   tags to leave out; changes: fields to set.
    thumbnail: the new one, a JPEG; empty: none; None: the old one stays.
    Raises BrokenExif. The old directories are zeroed as well: a damaged pointer that lands in
    one sends readers round in circles.
    """
    parsed = parse(block)
    order = parsed.layout.order
    gone = dropped | {field.tag for field in changes}
    kept = [entry for entry in parsed.main if entry.tag not in gone]
    freed = [parsed.main_range]
    freed += [(e.start, e.start + e.size) for e in parsed.main if e.tag in gone and not e.inline]
    kept_thumb = parsed.thumb
    if thumbnail is not None:
        kept_thumb = [e for e in parsed.thumb if e.tag not in STRUCTURAL and thumbnail]
        freed += [parsed.thumb_range, *thumbnail_ranges(block, parsed)]
        freed += [
            (e.start, e.start + e.size)
            for e in parsed.thumb
            if e not in kept_thumb and not e.inline
        ]
    out = bytearray(block)
    clear(out, freed, live_ranges(block, parsed, kept + kept_thumb))
    offset, pointer = place_directory(out, order, [entry.raw for entry in kept], changes)
    struct.pack_into(order + "I", out, 4, offset)
    if thumbnail is None and parsed.thumb:
        struct.pack_into(order + "I", out, pointer, parsed.thumb_range[0])
    elif thumbnail:
        second = _place_thumbnail(out, parsed.layout, kept_thumb, thumbnail)
        struct.pack_into(order + "I", out, pointer, second)
    return bytes(out)


def _place_thumbnail(out: bytearray, layout: Layout, kept: list[Entry], thumbnail: bytes) -> int:
    """Put a thumbnail and its directory behind `out`; return the directory's offset."""
    present = {entry.tag for entry in kept}
    fields = [
        short(layout.order, 259, 6),  # Compression: JPEG
        rational(layout.order, X_RESOLUTION, (72, 1)),
        rational(layout.order, Y_RESOLUTION, (72, 1)),
        short(layout.order, RESOLUTION_UNIT, 2),
    ]
    fields = [field for field in fields if field.tag not in present]
    fields += [
        long(layout.order, THUMBNAIL_OFFSET, 0),
        long(layout.order, THUMBNAIL_BYTES, len(thumbnail)),
    ]
    offset, _ = place_directory(out, layout.order, [entry.raw for entry in kept], fields)
    start = len(out)
    entries, _ = read_directory(bytes(out), layout, offset)
    (at,) = [entry.position for entry in entries if entry.tag == THUMBNAIL_OFFSET]
    struct.pack_into(layout.order + "I", out, at + 8, start)
    out += thumbnail
    return offset


def thumbnail_ranges(block: bytes, parsed: Parsed) -> list[Range]:
    """Return where the old thumbnail lies: one range, or none."""
    start = integer(block, parsed.layout, parsed.thumb, THUMBNAIL_OFFSET)
    size = integer(block, parsed.layout, parsed.thumb, THUMBNAIL_BYTES)
    if not start or not size or start >= len(block):
        return []
    return [(start, min(start + size, len(block)))]


def live_ranges(block: bytes, parsed: Parsed, kept: list[Entry]) -> list[Range]:
    """List what must not be overwritten: kept values and the sub-directories with theirs."""
    live = [(0, HEADER_BYTES)]
    live += [(entry.start, entry.start + entry.size) for entry in kept if not entry.inline]
    exif = sub_entries(block, parsed.layout, parsed.main, EXIF_IFD)
    parents = [(parsed.main, EXIF_IFD), (parsed.main, GPS_IFD), (exif, INTEROP_IFD)]
    for parent, tag in parents:
        entries = sub_entries(block, parsed.layout, parent, tag)
        if entries:
            offset = integer(block, parsed.layout, parent, tag) or 0
            live.append(_directory_range(block, parsed.layout, offset))
        live += [(entry.start, entry.start + entry.size) for entry in entries if not entry.inline]
    return live


def clear(out: bytearray, freed: list[Range], live: list[Range]) -> None:
    """Zero the freed ranges that touch nothing live, and cut off those at the end."""
    in_use = _joined(live)
    starts = [start for start, _ in in_use]
    free = []
    for start, end in freed:
        before = bisect_left(starts, end)  # ranges that begin before this one ends
        if start < end and (before == 0 or in_use[before - 1][1] <= start):
            free.append((start, end))
    for start, end in _joined(free):
        out[start:end] = bytes(end - start)
    for start, end in sorted(free, key=lambda span: span[1], reverse=True):
        if end <= len(out) <= end + 1:  # one byte may be the padding to a word
            del out[start:]


def _joined(ranges: list[Range]) -> list[Range]:
    """Return ranges in order, those that touch made one."""
    joined: list[Range] = []
    for start, end in sorted(span for span in ranges if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
