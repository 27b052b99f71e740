"""Metadata in the tags of a TIFF (TIFF 6.0; XMP Specification Part 3)."""

from __future__ import annotations

from typing import NamedTuple

from ..photo import Metadata
from . import exif as exif_room
from . import photoshop, words
from .block import (
    MAKER_NOTE,
    RESOLUTION_UNIT,
    STRUCTURAL,
    X_RESOLUTION,
    Y_RESOLUTION,
    from_directories,
)
from .ifd import (
    BYTE,
    EXIF_IFD,
    GPS_IFD,
    INTEROP_IFD,
    LONG,
    TYPE_BYTES,
    BrokenExif,
    Entry,
    Field,
    Layout,
    field_of,
    integer,
    read_directory,
    read_layout,
)
from .shrink import moved_words

XMP, IPTC, PHOTOSHOP, ICC = 700, 33723, 34377, 34675
_PHOTOSHOP_LAYERS = 37724  # of the pixels before retouching
_PRINT_IM = 50341
_DNG = range(50706, 52600)  # DNGVersion and its like make readers take the file for a raw one
_POINTERS = frozenset({EXIF_IFD, GPS_IFD, INTEROP_IFD})
NOT_CARRIED = (
    STRUCTURAL | _POINTERS | {XMP, IPTC, PHOTOSHOP, ICC, _PHOTOSHOP_LAYERS, _PRINT_IM, *_DNG}
)
MAX_MAKER_NOTE_OFFSET = 1 << 20  # farther than this, keeping it in its place costs too many zeros
_C2PA = 52545
_LEFT_OUT = {_PHOTOSHOP_LAYERS: words.LAYERS, _C2PA: words.C2PA}


def read(data: bytes, directory: int) -> tuple[Metadata, list[str]]:
    """Collect the metadata of the TIFF page whose directory lies at an offset.

    Orientation is left at 1. Returns the metadata and what could not be kept, one sentence each.
    Raises BrokenExif where the directory cannot be read.
    """
    layout = read_layout(data)
    entries, _ = read_directory(data, layout, directory)
    values = {
        entry.tag: field_of(data, entry).data
        for entry in entries
        if entry.tag in (XMP, IPTC, PHOTOSHOP, ICC)
    }
    blocks = values.get(PHOTOSHOP, b"")
    stored = values.get(IPTC, b"")
    iptc = photoshop.trimmed_iptc(stored) or photoshop.iptc_of(blocks)
    block, left_out = _block(data, layout, entries)
    present = {entry.tag for entry in entries}
    left_out += [told for tag, told in _LEFT_OUT.items() if tag in present]
    if photoshop.fault(blocks):
        left_out.append(photoshop.fault(blocks))
    metadata = Metadata(
        exif=block,
        xmp=values.get(XMP, b"").rstrip(b"\0"),
        iptc=iptc,
        photoshop=photoshop.with_digest(blocks, stored, iptc),
        icc=values.get(ICC, b""),
    )
    return metadata, left_out


def _block(data: bytes, layout: Layout, entries: list[Entry]) -> tuple[bytes, list[str]]:
    """Rebuild the EXIF of a TIFF as a compact block; return it and words on its MakerNote."""
    main = _fields(data, [entry for entry in entries if entry.tag not in NOT_CARRIED])
    exif_entries = _sub_directory(data, layout, entries, EXIF_IFD)
    gps = _sub_directory(data, layout, entries, GPS_IFD)
    interop = _sub_directory(data, layout, exif_entries, INTEROP_IFD)
    note = next((entry for entry in exif_entries if entry.tag == MAKER_NOTE), None)
    exif = _fields(data, [entry for entry in exif_entries if entry.tag not in _POINTERS])
    if not main and not exif and not gps:
        return b"", []
    at, told = 0, list[str]()
    if note is not None and note.start <= MAX_MAKER_NOTE_OFFSET:
        at = note.start
    elif note is not None:
        told = moved_words(field_of(data, note).data)
    block = from_directories(
        layout, main, exif, _fields(data, gps), _fields(data, interop), maker_note_at=at
    )
    return block, told


def _sub_directory(data: bytes, layout: Layout, entries: list[Entry], tag: int) -> list[Entry]:
    offset = integer(data, layout, entries, tag)
    if not offset:
        return []
    try:
        return read_directory(data, layout, offset)[0]
    except BrokenExif:  # a damaged sub-directory costs only itself
        return []


def _fields(data: bytes, entries: list[Entry]) -> list[Field]:
    """Take out the values of the types a classic TIFF knows (BigTIFF has three more)."""
    return [field_of(data, entry) for entry in entries if entry.type in TYPE_BYTES]


class TiffTags(NamedTuple):
    """What a TIFF writer needs.

    block:  the bytes that begin the file, 8 at least, no directory yet.
    fields: tags of the main directory, in the byte order of the block.
    exif, gps: offsets in the block, 0 where there is none.
    resolution: pixels per unit.
    """

    block: bytes
    fields: list[Field]
    exif: int
    gps: int
    resolution: exif_room.Resolution


def write(metadata: Metadata, software: str) -> TiffTags:
    """Lay metadata out for a TIFF; XMP as one packet. Raises BrokenExif."""
    ready = exif_room.for_tiff(metadata.exif, software, metadata.orientation)
    own = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
    fields = [field for field in ready.fields if field.tag not in NOT_CARRIED | set(own)]
    if metadata.xmp:
        fields.append(Field(XMP, BYTE, len(metadata.xmp), metadata.xmp))
    if metadata.iptc:
        padded = photoshop.padded_iptc(metadata.iptc)
        fields.append(Field(IPTC, LONG, len(padded) // 4, padded))
    blocks = photoshop.without_iptc(metadata.photoshop)
    blocks = photoshop.with_digest(blocks, metadata.iptc, photoshop.padded_iptc(metadata.iptc))
    if blocks:
        fields.append(Field(PHOTOSHOP, BYTE, len(blocks), blocks))
    stated = exif_room.resolution(metadata.exif) if metadata.exif else None
    resolution = stated or exif_room.Resolution((72, 1), (72, 1), 2)
    return TiffTags(ready.block, fields, ready.exif, ready.gps, resolution)
