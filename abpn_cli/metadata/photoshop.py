"""Photoshop image resource blocks and the IPTC records in them.

Adobe Photoshop File Formats Specification, "Image Resource Blocks"; IPTC-IIM 4.2, section 1.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

IPTC = 1028
# Copies of what belongs to the old encoding or is carried elsewhere:
# thumbnails (two kinds), ICC profile, EXIF (two parts), XMP.
STALE = frozenset({1033, 1036, 1039, 1058, 1059, 1060})
_KINDS = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")


class Resource(NamedTuple):
    """One resource: its number, its value, and its own bytes, padding included."""

    number: int
    data: bytes
    raw: bytes


def resources(blocks: bytes) -> list[Resource]:
    """Take image resource blocks apart, as far as they can be read."""
    found = []
    position = 0
    while position + 12 <= len(blocks) and blocks[position : position + 4] in _KINDS:
        (number,) = struct.unpack_from(">H", blocks, position + 4)
        name_bytes = 1 + blocks[position + 6]  # a Pascal string
        start = position + 6 + name_bytes + name_bytes % 2
        if start + 4 > len(blocks):
            break
        (size,) = struct.unpack_from(">I", blocks, start)
        data = blocks[start + 4 : start + 4 + size]
        if len(data) < size:
            break
        end = start + 4 + size + size % 2
        raw = blocks[position:end]
        found.append(Resource(number, data, raw + b"\0" * (end - position - len(raw))))
        position = end
    return found


def iptc_of(blocks: bytes) -> bytes:
    """Return the IPTC records that lie in image resource blocks, empty where there are none."""
    return next((item.data for item in resources(blocks) if item.number == IPTC), b"")


def without_iptc(blocks: bytes) -> bytes:
    """Return the blocks worth keeping where IPTC has a place of its own."""
    keep = [item.raw for item in resources(blocks) if item.number not in STALE | {IPTC}]
    return b"".join(keep)


def with_iptc(blocks: bytes, iptc: bytes) -> bytes:
    """Return the blocks worth keeping, with these IPTC records among them."""
    kept = [item for item in resources(blocks) if item.number not in STALE]
    if not iptc or any(item.number == IPTC and item.data == iptc for item in kept):
        return b"".join(item.raw for item in kept)
    head = b"8BIM" + struct.pack(">HHI", IPTC, 0, len(iptc))
    rest = b"".join(item.raw for item in kept if item.number != IPTC)
    return head + iptc + b"\0" * (len(iptc) % 2) + rest


def trimmed_iptc(data: bytes) -> bytes:
    """Cut IPTC records taken from a TIFF tag to their true length: the tag pads them to 4 bytes.

    Some writers store the tag as swapped 32-bit words; those are swapped back.
    """
    if data[:1] != b"\x1c" and data[3:4] == b"\x1c" and len(data) % 4 == 0:
        data = b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
    position = 0
    while position + 5 <= len(data) and data[position] == 0x1C:
        (size,) = struct.unpack_from(">H", data, position + 3)
        head = 5
        if size & 0x8000:  # extended: the low bits count the bytes of the true length
            width = size & 0x7FFF
            size = int.from_bytes(data[position + 5 : position + 5 + width], "big")
            head += width
        if position + head + size > len(data):
            return data
        position += head + size
    return data if data[position:].strip(b"\0") else data[:position]
