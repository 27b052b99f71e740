"""Photoshop image resource blocks and the IPTC records in them.

Adobe Photoshop File Formats Specification, "Image Resource Blocks"; IPTC-IIM 4.2, section 1.
"""

from __future__ import annotations

import struct
from array import array
from hashlib import md5
from typing import NamedTuple

from . import words

IPTC = 1028
IPTC_DIGEST = 1061  # MD5 of the IPTC records, by which a reader tells whether they were changed
MAX_RESOURCES = 10_000  # more is noise
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
    return _taken_apart(blocks)[0]


def fault(blocks: bytes) -> str:
    """Say what is wrong with image resource blocks, "" where they can be read to their end."""
    _, position = _taken_apart(blocks)
    return words.RESOURCES if blocks[position:].strip(b"\0") else ""


def _taken_apart(blocks: bytes) -> tuple[list[Resource], int]:
    """Return the resources and where reading them ended."""
    found: list[Resource] = []
    position = 0
    while position + 12 <= len(blocks) and blocks[position : position + 4] in _KINDS:
        if len(found) == MAX_RESOURCES:
            break
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
        if size % 2 and blocks[end - 1 : end + 3] in _KINDS:  # some writers leave the padding out
            end -= 1
        raw = blocks[position:end]
        found.append(Resource(number, data, raw + b"\0" * (len(raw) % 2)))
        position = end
    return found, min(position, len(blocks))


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


def with_digest(blocks: bytes, before: bytes, after: bytes) -> bytes:
    """Return the blocks with the digest of other bytes that hold the same IPTC records.

    A TIFF pads the records and takes the digest of the padded ones. A digest that was not true of
    the bytes before stays as it is: it says that the records were changed.
    """
    if before == after:
        return blocks
    old, new = (md5(data, usedforsecurity=False).digest() for data in (before, after))
    found = resources(blocks)
    if not any(item.number == IPTC_DIGEST and item.data == old for item in found):
        return blocks
    return b"".join(
        item.raw[: -len(old)] + new if item.number == IPTC_DIGEST and item.data == old else item.raw
        for item in found
    )


def padded_iptc(data: bytes) -> bytes:
    """Return IPTC records as the tag of a TIFF holds them: in words of 4 bytes."""
    return data + b"\0" * (-len(data) % 4)


def trimmed_iptc(data: bytes) -> bytes:
    """Cut IPTC records taken from a TIFF tag to their true length: the tag pads them to 4 bytes.

    Some writers store the tag as swapped 32-bit words; those are swapped back.
    """
    if data[:1] != b"\x1c" and data[3:4] == b"\x1c" and len(data) % 4 == 0:
        words = array("I", data)
        words.byteswap()
        data = words.tobytes()
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
