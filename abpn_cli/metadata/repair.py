"""A damaged EXIF block made harmless before anything is put behind it.

What points past the end of a block would point, once the block has grown, at what was put there.
So the entries that cannot be read are taken out, in place: nothing else moves.
"""

from __future__ import annotations

import struct

from .ifd import (
    ENTRY_BYTES,
    EXIF_IFD,
    GPS_IFD,
    INTEROP_IFD,
    TYPE_BYTES,
    BrokenExif,
    Layout,
    directory_span,
    integer,
    read_directory,
    read_layout,
)

_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)


def repaired(block: bytes) -> tuple[bytes, bool]:
    """Take out of a block's directories what cannot be read; tell whether anything was.

    Entries of a type that nobody knows stay: they may be readable to their maker. Raises
    BrokenExif where the main directory cannot be read, or the block is no classic TIFF.
    """
    layout = read_layout(block)
    if layout.big:
        raise BrokenExif("EXIF in a BigTIFF structure")
    out = bytearray(block)
    damaged = _prune(out, layout, layout.first)
    main, _ = read_directory(out, layout, layout.first)
    for tag in (EXIF_IFD, GPS_IFD):
        offset = integer(out, layout, main, tag)
        if offset is None or offset == layout.first:
            continue
        damaged |= _prune(out, layout, offset)
        entries, _ = read_directory(out, layout, offset)
        inner = integer(out, layout, entries, INTEROP_IFD)
        if inner is not None and inner not in (layout.first, offset):
            damaged |= _prune(out, layout, inner)
    return bytes(out), damaged


def _prune(out: bytearray, layout: Layout, offset: int) -> bool:
    """Take what cannot be read out of one directory; tell whether anything was."""
    start, end = directory_span(out, layout, offset)
    entries = [bytes(out[at : at + ENTRY_BYTES]) for at in range(start, end, ENTRY_BYTES)]
    kept = [raw for raw in entries if not _dangles(out, layout, raw)]
    if len(kept) == len(entries):
        return False
    following = bytes(out[end : end + 4])
    struct.pack_into(layout.order + "H", out, offset, len(kept))
    body = b"".join(kept) + following
    out[start : end + len(following)] = body.ljust(end + len(following) - start, b"\0")
    return True


def _dangles(out: bytearray, layout: Layout, raw: bytes) -> bool:
    """Tell whether an entry points where there is nothing, or nothing readable."""
    tag, kind, count, value = struct.unpack(layout.order + "HHII", raw)
    size = TYPE_BYTES.get(kind, 0) * count
    if size > 4:
        return bool(value + size > len(out))
    if tag not in _POINTERS or kind not in (4, 13):
        return False
    try:
        directory_span(out, layout, value)  # not its entries: many may point at one directory
    except BrokenExif:
        return True
    return False
