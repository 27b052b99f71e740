"""Directories (IFDs) of TIFF-structured bytes: reading entries, placing new directories.

TIFF 6.0, section 2; Exif 2.32, section 4.6. Nothing here knows what a tag means, beyond those that
point at further directories.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

Order = Literal["<", ">"]

HEADER_BYTES = 8
ENTRY_BYTES = 12
MAX_ENTRIES = 4096  # a directory longer than this is noise read as a directory

EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965

# bytes per value of every classic type; 129 is the UTF-8 text of Exif 3.0
TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    129: 1,
}
BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
_BIG_TYPE_BYTES = TYPE_BYTES | {16: 8, 17: 8, 18: 8}


class BrokenExif(ValueError):
    """The bytes are not a readable TIFF structure."""


class Layout(NamedTuple):
    """How a TIFF structure is written: byte order, BigTIFF or not, offset of the first IFD."""

    order: Order
    big: bool
    first: int


class Entry(NamedTuple):
    """One entry of a directory.

    length:      how many values of its type it has.
    start, size: where its value lies and how many bytes it has.
    inline:      the value lies inside the entry itself.
    raw:         the entry's own bytes, 12 in a classic file.
    position:    where the entry lies.
    """

    tag: int
    type: int
    length: int
    start: int
    size: int
    inline: bool
    raw: bytes
    position: int


class Field(NamedTuple):
    """A tag with its `length` values; data is in the byte order of the structure it belongs to."""

    tag: int
    type: int
    length: int
    data: bytes


def read_layout(data: bytes) -> Layout:
    """Read the header of a TIFF structure; raise BrokenExif where there is none."""
    order: Order
    if data[:2] == b"II":
        order = "<"
    elif data[:2] == b"MM":
        order = ">"
    else:
        raise BrokenExif("no TIFF header")
    magic = data[2:4] if order == "<" else data[2:4][::-1]
    if magic == b"*\0" and len(data) >= HEADER_BYTES:
        return Layout(order, False, struct.unpack_from(order + "I", data, 4)[0])
    if magic == b"+\0" and len(data) >= 16:
        return Layout(order, True, struct.unpack_from(order + "Q", data, 8)[0])
    raise BrokenExif("no TIFF header")


def read_directory(data: bytes | bytearray, layout: Layout, offset: int) -> tuple[list[Entry], int]:
    """Read one directory: its entries and the offset of the next directory (0: none).

    Entries of unknown type, or whose value lies outside the data, are left out; so are those behind
    whose values make more bytes together than there are. Raises BrokenExif where there is no
    directory at that offset.
    """
    start, end = directory_span(data, layout, offset)
    entry_bytes, word = (20, 8) if layout.big else (ENTRY_BYTES, 4)
    entries = []
    room = len(data)  # values that overlap could take a multiple of it
    for position in range(start, end, entry_bytes):
        entry = _read_entry(data, layout, position)
        if entry is not None and entry.size <= room:
            entries.append(entry)
            room -= 0 if entry.inline else entry.size
    if end + word > len(data):  # some writers leave the last pointer out
        return entries, 0
    return entries, struct.unpack_from(layout.order + ("Q" if layout.big else "I"), data, end)[0]


def directory_span(data: bytes | bytearray, layout: Layout, offset: int) -> tuple[int, int]:
    """Return where the entries of a directory begin and end.

    Raises BrokenExif where there is no directory at that offset.
    """
    count_format, entry_bytes = ("Q", 20) if layout.big else ("H", ENTRY_BYTES)
    head = struct.calcsize(layout.order + count_format)
    if offset < HEADER_BYTES or offset + head > len(data):
        raise BrokenExif("a directory lies outside the data")
    (count,) = struct.unpack_from(layout.order + count_format, data, offset)
    end = offset + head + count * entry_bytes
    if count > MAX_ENTRIES or end > len(data):
        raise BrokenExif("a directory runs past the end of the data")
    return offset + head, end


def _read_entry(data: bytes | bytearray, layout: Layout, position: int) -> Entry | None:
    """Read one entry, None where its type is unknown or its value lies outside the data."""
    word = 8 if layout.big else 4
    sizes = _BIG_TYPE_BYTES if layout.big else TYPE_BYTES
    head = layout.order + ("HHQ" if layout.big else "HHI")
    tag, kind, count = struct.unpack_from(head, data, position)
    if kind not in sizes:
        return None
    size = sizes[kind] * count
    start = position + struct.calcsize(head)
    inline = size <= word
    if not inline:
        (start,) = struct.unpack_from(layout.order + ("Q" if layout.big else "I"), data, start)
    if start + size > len(data):
        return None
    raw = bytes(data[position : position + (20 if layout.big else ENTRY_BYTES)])
    return Entry(tag, kind, count, start, size, inline, raw, position)


def field_of(data: bytes, entry: Entry) -> Field:
    """Take an entry's value out of the data."""
    return Field(entry.tag, entry.type, entry.length, data[entry.start : entry.start + entry.size])


def integer(data: bytes | bytearray, layout: Layout, entries: list[Entry], tag: int) -> int | None:
    """Return the first value of an integer tag, None where the directory does not hold it."""
    formats = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
    for entry in entries:
        if entry.tag == tag and entry.type in formats and entry.length:
            value: int = struct.unpack_from(layout.order + formats[entry.type], data, entry.start)[
                0
            ]
            return value
    return None


def short(order: Order, tag: int, value: int) -> Field:
    """Make a field of one SHORT."""
    return Field(tag, SHORT, 1, struct.pack(order + "H", value))


def long(order: Order, tag: int, value: int) -> Field:
    """Make a field of one LONG."""
    return Field(tag, LONG, 1, struct.pack(order + "I", value))


def rational(order: Order, tag: int, value: tuple[int, int]) -> Field:
    """Make a field of one RATIONAL."""
    return Field(tag, RATIONAL, 1, struct.pack(order + "II", *value))


def ascii_text(tag: int, text: str) -> Field:
    """Make a field of ASCII text, its closing zero included."""
    data = text.encode("ascii", "replace") + b"\0"
    return Field(tag, ASCII, len(data), data)


def place_directory(
    out: bytearray, order: Order, kept: list[bytes], fields: list[Field]
) -> tuple[int, int]:
    """Put a classic directory behind `out`, the out-of-line values of its fields behind it.

    kept:   entries of 12 bytes whose values already lie in `out`.
    fields: entries still to be placed.
    Returns the directory's offset and the position of its pointer to the next directory, which
    is 0.
    """
    out.extend(b"\0" * (len(out) % 2))  # TIFF 6.0: directories begin on a word boundary
    offset = len(out)
    count = len(kept) + len(fields)
    pointer = offset + 2 + count * ENTRY_BYTES
    values = bytearray()
    entries = list(kept)
    for field in fields:
        head = struct.pack(order + "HHI", field.tag, field.type, field.length)
        if len(field.data) <= 4:
            entries.append(head + field.data.ljust(4, b"\0"))
            continue
        entries.append(head + struct.pack(order + "I", pointer + 4 + len(values)))
        values += field.data + b"\0" * (len(field.data) % 2)
    entries.sort(key=lambda raw: struct.unpack_from(order + "H", raw)[0])
    out += struct.pack(order + "H", count) + b"".join(entries) + b"\0\0\0\0" + values
    return offset, pointer
