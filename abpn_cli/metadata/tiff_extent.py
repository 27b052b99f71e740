"""How far a TIFF reaches: to the last byte that one of its directories speaks of (TIFF 6.0)."""

from __future__ import annotations

import struct

from .ifd import (
    EXIF_IFD,
    GPS_IFD,
    INTEROP_IFD,
    BrokenExif,
    Entry,
    Layout,
    directory_span,
    read_directory,
    read_layout,
)
from .segments import what_lies_behind

_SUB_IFDS, _GLOBAL_IFD = 330, 400
_POINTERS = (_SUB_IFDS, _GLOBAL_IFD, EXIF_IFD, GPS_IFD, INTEROP_IFD)
_POINTER_TYPES = (13, 18)  # whatever their tag
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Tags of offsets and of how many bytes lie there: strips, tiles, free space, a JPEG thumbnail.
_SPANS = ((273, 279), (324, 325), (288, 289), (513, 514))


def behind_the_end(data: bytes) -> list[str]:
    """Say what lies behind the end of a TIFF, [] for padding, and where its end cannot be told."""
    try:
        return what_lies_behind(data[_end_of(data) :])
    except BrokenExif:
        return []


def _end_of(data: bytes) -> int:
    """Return where a TIFF ends. Raises BrokenExif where that cannot be told."""
    layout = read_layout(data)
    reader = _Reader(data, layout)
    waiting, seen, end = [layout.first], {0}, 0
    while waiting:
        offset = waiting.pop()
        if offset in seen:
            continue
        seen.add(offset)
        reader.take(directory_span(data, layout, offset))
        entries, following = read_directory(data, layout, offset)
        last = directory_span(data, layout, offset)[1] + (8 if layout.big else 4)
        outside = (entry.start + entry.size for entry in entries if not entry.inline)
        end = max(end, last, *outside, *_ends_of_pixels(reader, entries))
        waiting.append(following)
        for entry in entries:
            if entry.tag in _POINTERS or entry.type in _POINTER_TYPES:
                waiting += reader.integers(entry)
    return end


def _ends_of_pixels(reader: _Reader, entries: list[Entry]) -> list[int]:
    """Return where strips and their like end."""
    found = {entry.tag: entry for entry in entries}
    ends = []
    for where, how_many in _SPANS:
        if where not in found:
            continue
        if how_many not in found:
            raise BrokenExif("the pixels are of no stated size")
        starts, sizes = reader.integers(found[where]), reader.integers(found[how_many])
        ends += [start + size for start, size in zip(starts, sizes, strict=False)]
    return ends


class _Reader:
    """Reads values, no more of them together than a file can hold that does not overlap itself."""

    def __init__(self, data: bytes, layout: Layout) -> None:
        self._data = data
        self._order = layout.order
        self._room = len(data)

    def take(self, span: tuple[int, int]) -> None:
        """Count the bytes of a directory. Raises BrokenExif where there are too many."""
        self._room -= span[1] - span[0]
        if self._room < 0:
            raise BrokenExif("its directories overlap")

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """Return the values of an entry; none where they are no whole numbers."""
        if entry.type not in _FORMATS:
            return ()
        self.take((0, 0 if entry.inline else entry.size))
        kind = f"{self._order}{entry.length}{_FORMATS[entry.type]}"
        return struct.unpack_from(kind, self._data, entry.start)
