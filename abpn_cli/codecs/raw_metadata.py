"""What a camera raw file says about its photo: from its own directories, or from its preview."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from ..metadata import jpeg_carrier, tiff_carrier, words
from ..metadata.block import from_directories, rewrite
from ..metadata.ifd import (
    EXIF_IFD,
    GPS_IFD,
    INTEROP_IFD,
    BrokenExif,
    Field,
    field_of,
    read_directory,
    read_layout,
)
from ..photo import Metadata

_NOTHING = b"II*\0\0\0\0\0"
_LITTLE, _BIG = b"II*\0", b"MM\0*"
# Olympus and Panasonic write TIFF structures under numbers of their own.
_HEADS = {
    _LITTLE: _LITTLE,
    _BIG: _BIG,
    b"IIRO": _LITTLE,
    b"IIRS": _LITTLE,
    b"IIU\0": _LITTLE,
    b"MMOR": _BIG,
}
_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
_TAKEN = (jpeg_carrier.APP1, jpeg_carrier.APP13)  # of a preview: EXIF, XMP, IPTC
_CANON_BOX = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
# Of the sensor's pixels, not of those developed from them (TIFF/EP; below 254: Panasonic's own).
_OF_THE_SENSOR = frozenset([*range(1, 254), 33421, 33422, 37398, 37399])


def of_raw(data: bytes, preview: bytes) -> tuple[Metadata, list[str]]:
    """Collect the metadata of a raw file; its ICC profile, that of a camera, is left out.

    preview: the JPEG inside it, which some makers alone give the EXIF to; may be empty.
    Returns the metadata and what could not be read or kept, one sentence each.
    """
    found, notes = _of_directories(data)
    if not found.exif and preview:
        segments, _ = jpeg_carrier.split(preview)
        inside, lost = jpeg_carrier.read([item for item in segments if item.marker in _TAKEN])
        found = Metadata(exif=inside.exif, xmp=inside.xmp or found.xmp, iptc=inside.iptc)
        notes += lost
    block = _without_sensor(found.exif)
    if found.exif and not block:
        notes.append(words.DAMAGED_EXIF)
    return replace(found, exif=block, icc=b""), notes


def _of_directories(data: bytes) -> tuple[Metadata, list[str]]:
    """Read a raw file that is built as a TIFF is; Metadata() where it is not."""
    head = _HEADS.get(data[:4])
    if head is None:
        return _of_boxes(data) if data[4:8] == b"ftyp" else (Metadata(), [])
    plain = data if data.startswith(head) else head + data[4:]
    try:
        return tiff_carrier.read(plain, read_layout(plain).first)
    except BrokenExif:
        return Metadata(), [words.DAMAGED_EXIF]


def _of_boxes(data: bytes) -> tuple[Metadata, list[str]]:
    """Read a Canon CR3: boxes (ISO/IEC 14496-12) with a TIFF structure for each directory."""
    blocks: dict[bytes, bytes] = {}
    packet = b""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"uuid" and data[start : start + 16] == _XMP_BOX:
            packet = data[start + 16 : end].rstrip(b"\0")
        if kind != b"moov":
            continue
        for inner, place, stop in _boxes(data, start, end):
            if inner == b"uuid" and data[place : place + 16] == _CANON_BOX:
                blocks |= {name: data[a:b] for name, a, b in _boxes(data, place + 16, stop)}
    try:
        return Metadata(exif=_joined(blocks), xmp=packet), []
    except BrokenExif:
        return Metadata(xmp=packet), [words.DAMAGED_EXIF]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes between two places: kind, and where their content begins and ends."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = end if size == 0 else start + size
        if not content <= stop <= end:
            return
        yield kind, content, stop
        start = stop


def _joined(blocks: dict[bytes, bytes]) -> bytes:
    """Join the structures of a CR3 into one block, its MakerNote left out: it would be misread.

    Raises BrokenExif.
    """
    first = blocks.get(b"CMT1", b"")
    layout = read_layout(first)
    main, exif, gps = (
        _fields(part) if read_layout(part).order == layout.order else []
        for part in (first, blocks.get(b"CMT2", _NOTHING), blocks.get(b"CMT4", _NOTHING))
    )
    return from_directories(layout, main, exif, gps, interop=[])


def _fields(block: bytes) -> list[Field]:
    """Return the fields of a structure's first directory, none where it has none."""
    layout = read_layout(block)
    if not layout.first or len(block) <= layout.first:
        return []
    entries, _ = read_directory(block, layout, layout.first)
    return [field_of(block, entry) for entry in entries if entry.tag not in _POINTERS]


def _without_sensor(block: bytes) -> bytes:
    if not block:
        return b""
    try:
        return rewrite(block, _OF_THE_SENSOR, [], b"")
    except BrokenExif:
        return b""
