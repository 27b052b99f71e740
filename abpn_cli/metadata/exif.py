"""EXIF as every format wants it: what is set, what is left out, what must fit."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from .block import (
    RESOLUTION_UNIT,
    STRUCTURAL,
    THUMBNAIL_BYTES,
    X_RESOLUTION,
    Y_RESOLUTION,
    Parsed,
    clear,
    live_ranges,
    parse,
    rewrite,
    sub_entries,
    thumbnail_ranges,
)
from .ifd import (
    ASCII,
    EXIF_IFD,
    GPS_IFD,
    LONG,
    SHORT,
    BrokenExif,
    Entry,
    Field,
    ascii_text,
    field_of,
    integer,
    rational,
    read_directory,
    read_layout,
    short,
)
from .shrink import shrunk_to

ORIENTATION, SOFTWARE = 274, 305
YCBCR_POSITIONING = 531
PIXEL_X, PIXEL_Y = 40962, 40963
COLOUR_SPACE = 40961
DATE, DATE_ORIGINAL = 306, 36867
OFFSET_TIME, OFFSET_TIME_ORIGINAL = 36880, 36881
_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)$")
_ZONE = re.compile(r"Z|[+-]\d\d:\d\d")
JPEG_LIMIT = 65527  # bytes of EXIF that fit into one JPEG segment

NO_EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # a block whose only directory is empty


class Resolution(NamedTuple):
    """Pixels per unit as EXIF says it; unit 1 none, 2 inch, 3 cm."""

    x: tuple[int, int]
    y: tuple[int, int]
    unit: int


def orientation(block: bytes) -> int:
    """Return EXIF orientation 1..8, 1 where the block says nothing sensible."""
    parsed = parse(block)
    return _sensible(integer(block, parsed.layout, parsed.main, ORIENTATION))


def _sensible(value: int | None) -> int:
    return value if value is not None and 1 <= value <= 8 else 1


def resolution(block: bytes) -> Resolution | None:
    """Return the resolution a block holds, None where it holds none or an impossible one."""
    parsed = parse(block)
    pair = {}
    for entry in parsed.main:
        if entry.tag in (X_RESOLUTION, Y_RESOLUTION) and entry.type == 5 and entry.length:
            pair[entry.tag] = struct.unpack_from(parsed.layout.order + "II", block, entry.start)
    if len(pair) < 2 or not all(top and bottom for top, bottom in pair.values()):
        return None
    unit = integer(block, parsed.layout, parsed.main, RESOLUTION_UNIT)
    return Resolution(pair[X_RESOLUTION], pair[Y_RESOLUTION], unit if unit in (1, 2, 3) else 2)


def modified(block: bytes) -> str:
    """Return the date of the last change, or else of the exposure, as XMP writes dates.

    "" where the block holds none. Raises BrokenExif.
    """
    parsed = parse(block)
    entries = sub_entries(block, parsed.layout, parsed.main, EXIF_IFD)
    for date, zone, held in (
        (DATE, OFFSET_TIME, parsed.main),
        (DATE_ORIGINAL, OFFSET_TIME_ORIGINAL, entries),
    ):
        found = _DATE.match(_text(block, held, date))
        if found:
            time_zone = _text(block, entries, zone)
            offset = time_zone if _ZONE.fullmatch(time_zone) else ""
            return "{}-{}-{}T{}".format(*found.groups()) + offset
    return ""


def _text(block: bytes, entries: list[Entry], tag: int) -> str:
    """Return the text of a tag without its closing zeros, "" where there is none."""
    values = (field_of(block, entry).data for entry in entries if entry.tag == tag)
    return next(values, b"").rstrip(b"\0 ").decode("utf-8", "replace")


def with_resolution(block: bytes, value: Resolution) -> bytes:
    """Return the block with another resolution; an empty block is begun."""
    block = block or NO_EXIF
    order = read_layout(block).order
    changes = [
        rational(order, X_RESOLUTION, value.x),
        rational(order, Y_RESOLUTION, value.y),
        short(order, RESOLUTION_UNIT, value.unit),
    ]
    return rewrite(block, frozenset(), changes, None)


def with_texts(block: bytes, texts: dict[int, str]) -> tuple[set[int], bytes]:
    """Put texts under tags that the main directory does not have.

    texts: by tag; written as UTF-8, which is what readers take ASCII for that is none.
    Returns the tags that hold their text now, and the block; an empty one is begun. Raises
    BrokenExif.
    """
    parsed = parse(block or NO_EXIF)
    held = {entry.tag: _text(block, [entry], entry.tag) for entry in parsed.main}
    changes = []
    said = set()
    for tag, text in texts.items():
        plain = text.replace("\0", " ").rstrip()
        if tag not in held:
            data = plain.encode("utf-8", "replace") + b"\0"
            changes.append(Field(tag, ASCII, len(data), data))
        if held.get(tag, plain) == plain:
            said.add(tag)
    return said, rewrite(block or NO_EXIF, frozenset(), changes, None) if changes else block


def with_orientation(block: bytes, value: int) -> bytes:
    """Return the block with its orientation tags, where it has any, set in place."""
    if not block:
        return block
    parsed = parse(block)
    out = bytearray(block)
    for entry in parsed.main + parsed.thumb:
        if entry.tag == ORIENTATION and entry.type == SHORT and entry.inline:
            struct.pack_into(parsed.layout.order + "H", out, entry.start, value)
    return bytes(out)


def with_size(block: bytes, size: tuple[int, int]) -> bytes:
    """Return the block with PixelXDimension and PixelYDimension, where it has them, set to size.

    size: (height, width). Changed in place: nothing moves.
    """
    if not block:
        return block
    parsed = parse(block)
    out = bytearray(block)
    for entry in sub_entries(block, parsed.layout, parsed.main, EXIF_IFD):
        if entry.tag in (PIXEL_X, PIXEL_Y) and entry.type in (SHORT, LONG) and entry.inline:
            value = size[1] if entry.tag == PIXEL_X else size[0]
            raw = struct.pack(parsed.layout.order + "HHII", entry.tag, LONG, 1, value)
            out[entry.position : entry.position + 12] = raw
    return bytes(out)


def with_colour_space(block: bytes, value: int) -> bytes:
    """Return the block with its ColorSpace, where it has one, set in place: 1 sRGB, 65535 other."""
    if not block:
        return block
    parsed = parse(block)
    out = bytearray(block)
    for entry in sub_entries(block, parsed.layout, parsed.main, EXIF_IFD):
        if entry.tag == COLOUR_SPACE and entry.type == SHORT and entry.inline:
            struct.pack_into(parsed.layout.order + "H", out, entry.start, value)
    return bytes(out)


def for_jpeg(
    block: bytes, software: str, turn: int, thumbnail: bytes, sampled_anew: bool = True
) -> tuple[bytes, list[str]]:
    """Make the EXIF block of a JPEG that we write.

    block: the source's, may be empty; turn: orientation; thumbnail: a small JPEG of the new
    pixels; sampled_anew: whether colour is at 4:4:4 now, and no more where the source says.
    Returns the block, at most JPEG_LIMIT bytes, and what had to be left out.
    Raises BrokenExif.
    """
    block = block or NO_EXIF
    parsed = parse(block)
    changes = _changes(block, parsed, software, turn)
    dropped = STRUCTURAL if sampled_anew else STRUCTURAL - {YCBCR_POSITIONING}
    if sampled_anew and any(entry.tag == YCBCR_POSITIONING for entry in parsed.main):
        changes.append(short(parsed.layout.order, YCBCR_POSITIONING, 1))  # 4:4:4 is centred
    edited = rewrite(block, dropped, changes, thumbnail)
    if len(edited) <= JPEG_LIMIT:
        return edited, []
    if len(block) <= JPEG_LIMIT:
        return _same_size(block, parsed, software, turn, thumbnail), []
    grown = len(thumbnail) + 12 * len(parsed.main) + 512  # what rewriting may add
    shrunk, left_out = shrunk_to(JPEG_LIMIT - grown, block, parsed)
    edited, _ = for_jpeg(shrunk, software, turn, thumbnail, sampled_anew)
    return edited, left_out


def for_png(block: bytes, software: str, turn: int) -> bytes:
    """Make the eXIf chunk of a PNG that we write: no thumbnail. Raises BrokenExif."""
    block = block or NO_EXIF
    changes = _changes(block, parse(block), software, turn)
    return rewrite(block, STRUCTURAL, changes, b"")


class ForTiff(NamedTuple):
    """EXIF made ready for a TIFF.

    block:  begins the file; its header points at no directory yet.
    fields: tags for the TIFF's own directory.
    exif, gps: offsets of these directories inside the block, 0 where there is none.
    """

    block: bytes
    fields: list[Field]
    exif: int
    gps: int


def for_tiff(block: bytes, software: str, turn: int) -> ForTiff:
    """Split a block for a TIFF: sub-directories stay where they are. Raises BrokenExif."""
    block = block or NO_EXIF
    parsed = parse(block)
    order = parsed.layout.order
    pointers = {EXIF_IFD: 0, GPS_IFD: 0}
    for tag in pointers:
        try:
            offset = integer(block, parsed.layout, parsed.main, tag) or 0
            read_directory(block, parsed.layout, offset)
        except BrokenExif:
            continue
        pointers[tag] = offset
    changes = _changes(block, parsed, software, turn)
    changed = {field.tag for field in changes}
    fields = [
        field_of(block, entry)
        for entry in parsed.main
        if entry.tag not in STRUCTURAL | changed and entry.tag not in pointers
    ]
    freed = [parsed.main_range, parsed.thumb_range, *thumbnail_ranges(block, parsed)]
    freed += [(e.start, e.start + e.size) for e in parsed.main + parsed.thumb if not e.inline]
    out = bytearray(block)
    clear(out, freed, live_ranges(block, parsed, []))
    struct.pack_into(order + "I", out, 4, 0)
    fields = sorted(fields + changes, key=lambda field: field.tag)
    return ForTiff(bytes(out), fields, pointers[EXIF_IFD], pointers[GPS_IFD])


def _changes(block: bytes, parsed: Parsed, software: str, turn: int) -> list[Field]:
    """List the fields of the main directory that we set whatever the format."""
    changes = [ascii_text(SOFTWARE, software)]
    value = integer(block, parsed.layout, parsed.main, ORIENTATION)
    if _sensible(value) != turn:
        changes.append(short(parsed.layout.order, ORIENTATION, turn))
    return changes


def _same_size(block: bytes, parsed: Parsed, software: str, turn: int, thumbnail: bytes) -> bytes:
    """Edit a block that must not grow: in place, the thumbnail unlinked where it does not fit."""
    out = bytearray(block)
    order = parsed.layout.order
    text = software.encode("ascii", "replace") + b"\0"
    for entry in parsed.main:
        if entry.tag == ORIENTATION and entry.type == SHORT:
            struct.pack_into(order + "H", out, entry.start, turn)
        if entry.tag == SOFTWARE and len(text) <= entry.size:
            out[entry.start : entry.start + entry.size] = text.ljust(entry.size, b"\0")
    for start, end in thumbnail_ranges(block, parsed):
        out[start:end] = bytes(end - start)
        if len(thumbnail) <= end - start:
            out[start : start + len(thumbnail)] = thumbnail
            for entry in parsed.thumb:
                if entry.tag == THUMBNAIL_BYTES:
                    raw = struct.pack(order + "HHII", entry.tag, LONG, 1, len(thumbnail))
                    out[entry.position : entry.position + 12] = raw
            return bytes(out)
    if parsed.thumb:
        struct.pack_into(order + "I", out, parsed.main_range[1] - 4, 0)
    return bytes(out)
