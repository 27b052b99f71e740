"""Photo to TIFF, by tifffile: 16 bits, all metadata, offsets inside a MakerNote true."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..metadata import BrokenExif, edited, png_words, segments, tiff_carrier, with_one_packet, words
from ..metadata.ifd import ASCII, EXIF_IFD, GPS_IFD, LONG, Field, read_layout
from ..metadata.tiff_carrier import TiffTags
from ..photo import Metadata, Photo, Provenance
from .formats import SOFTWARE, EncodeOptions, Values, to_16_bit

_EXTRA_SAMPLE = {"straight": 2, "associated": 1, "other": 0}
_STRIP_ROWS = 64
# tifffile writes no Exif and GPS pointers; these stand in for them and are renamed afterwards
_STAND_IN = {EXIF_IFD: EXIF_IFD - 1, GPS_IFD: GPS_IFD - 1}

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes on stderr


def layout(photo: Photo, provenance: Provenance) -> tuple[TiffTags, bytes, list[str]]:
    """Lay out the metadata of a TIFF: its tags, its ICC profile, and what was left out."""
    told = edited(photo.metadata, provenance, f"{photo.digest} tiff")
    metadata, left_out = with_one_packet(told)
    left_out += segments.no_place(metadata.segments, "a TIFF")
    for placed in (png_words.without_chunks, png_words.without_comment):
        metadata, unplaced = placed(metadata, "a TIFF")
        left_out += unplaced
    try:
        return tiff_carrier.write(metadata, SOFTWARE), metadata.icc, left_out
    except BrokenExif:
        plain = Metadata(orientation=metadata.orientation, xmp=metadata.xmp, iptc=metadata.iptc)
        left_out.append(words.DAMAGED_EXIF)
        return tiff_carrier.write(plain, SOFTWARE), metadata.icc, left_out


def write(path: Path, photo: Photo, options: EncodeOptions) -> list[str]:
    """Write a 16-bit TIFF with its metadata and alpha; return what was left out.

    The EXIF block begins the file, so that offsets inside a MakerNote stay true.
    """
    tags, icc, left_out = layout(photo, options.provenance)
    pixels: Values = to_16_bit(photo.pixels)
    if photo.alpha is not None:
        pixels = np.dstack([pixels, to_16_bit(photo.alpha)])
    order = read_layout(tags.block).order
    extra = [_extra_tag(field, order) for field in tags.fields]
    for tag, offset in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)):
        if offset:
            extra = [item for item in extra if item[0] != _STAND_IN[tag]]
            extra.append((_STAND_IN[tag], LONG, 1, offset, True))
    compression = {"none": None, "deflate": "zlib", "zstd": "zstd"}[options.tiff_compression]
    path.write_bytes(tags.block)
    with tifffile.TiffWriter(path, append="force") as writer:
        writer.write(
            pixels,
            photometric="rgb",
            extrasamples=None if photo.alpha is None else [_EXTRA_SAMPLE[photo.alpha_is]],
            metadata=None,
            software=False,
            iccprofile=icc or None,
            compression=compression,
            compressionargs={"level": 1} if compression else None,
            predictor=bool(compression),
            rowsperstrip=_STRIP_ROWS,
            resolution=(tags.resolution.x, tags.resolution.y),
            resolutionunit=tags.resolution.unit,
            extratags=extra,
            maxworkers=options.threads,
        )
    pointers = [tag for tag, offset in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)) if offset]
    _rename_stand_ins(path, order, pointers)
    return left_out


def _extra_tag(field: Field, order: str) -> tuple[int, int, int, Any, bool]:
    """Return a field as tifffile takes it."""
    kind = ASCII if field.type == 129 else field.type  # UTF-8 of Exif 3.0: unknown to tifffile
    if kind in (5, 10):  # it doubles the count of rationals given as bytes
        letter = "I" if kind == 5 else "i"
        values = struct.unpack(f"{order}{2 * field.length}{letter}", field.data)
        return field.tag, kind, field.length, values, True
    return field.tag, kind, field.length, field.data, True


def _rename_stand_ins(path: Path, order: str, pointers: list[int]) -> None:
    """Give the Exif and GPS pointers their true numbers; the order of the tags stays sorted."""
    if not pointers:
        return
    with path.open("r+b") as file, tifffile.TiffFile(file) as tiff:
        places = [(tag, tiff.pages.first.tags[_STAND_IN[tag]].offset) for tag in pointers]
        for tag, offset in places:
            file.seek(offset)
            file.write(struct.pack(order + "H", tag))
