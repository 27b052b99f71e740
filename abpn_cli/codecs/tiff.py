"""TIFF to Photo and back, by tifffile.

OpenCV is no choice here: it turns or refuses TIFFs with an orientation, mistakes planar ones, and
passes damaged ones as good.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import tifffile
from imagecodecs import DelayedImportError

from ..errors import PhotoError
from ..metadata import BrokenExif, checked, edited, tiff_carrier, with_one_packet
from ..metadata.ifd import ASCII, EXIF_IFD, GPS_IFD, LONG, Field, read_layout
from ..metadata.tiff_carrier import TiffTags
from ..photo import Metadata, Photo
from .formats import RESTORE, SOFTWARE, EncodeOptions, Header, Values, as_rgb, to_16_bit

AlphaIs = Literal["straight", "associated", "other"]

_MINISWHITE, _MINISBLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_COLOURS = {_MINISWHITE: 1, _MINISBLACK: 1, _RGB: 3, _PALETTE: 1, _YCBCR: 3}
_JPEG_COMPRESSIONS = (6, 7)
_NOT_A_PHOTO = 1 | 4  # NewSubfileType: reduced copy, transparency mask
_ALPHA_IS: dict[int, AlphaIs] = {1: "associated", 2: "straight"}
_EXTRA_SAMPLE = {"straight": 2, "associated": 1, "other": 0}
_ORIENTATION = 274
_STRIP_ROWS = 64
_WORKERS = 2
# tifffile writes no Exif and GPS pointers; these stand in for them and are renamed afterwards
_STAND_IN = {EXIF_IFD: EXIF_IFD - 1, GPS_IFD: GPS_IFD - 1}
# What tifffile and its decoders raise for files that are not as they should be.
_DECODER_ERRORS = (
    *(ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, OSError),
    *(struct.error, ArithmeticError, MemoryError, EOFError, AssertionError),
)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes on stderr


@contextmanager
def _faults_of(source: Path) -> Iterator[None]:
    """Turn what the decoder raises into a PhotoError."""
    try:
        yield
    except (ImportError, DelayedImportError) as error:
        fault = f"its compression is not supported ({error})"
        raise PhotoError(source, fault, "Save it with another compression.") from error
    except _DECODER_ERRORS as error:
        raise PhotoError(source, f"the file is damaged ({_words(error)})", RESTORE) from error


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__


def header(file: BinaryIO, source: Path) -> Header:
    """Read the header of a TIFF's photo. Raises PhotoError."""
    with _faults_of(source), tifffile.TiffFile(file) as tiff:
        page, _ = _photo_page(tiff)
        turn = page.tags.valueof(_ORIENTATION, 1)
        return Header(
            "tiff",
            (page.imagelength, page.imagewidth),
            page.bitspersample,
            page.samplesperpixel,
            int(turn) if turn in range(1, 9) else 1,
        )


def _photo_page(tiff: tifffile.TiffFile) -> tuple[Any, int]:
    """Return the first page that is no small copy and no mask, and how many pages there are."""
    pages = tiff.pages
    for index in range(len(pages)):
        page = pages[index]
        if not isinstance(page, tifffile.TiffPage):
            page = page.aspage()
        if not page.subfiletype & _NOT_A_PHOTO:
            return _sane(page), len(pages)
    return _sane(pages.first), len(pages)


def _sane(page: Any) -> Any:
    """Return the page; raise ValueError where a number is a list or text: tifffile takes both."""
    numbers = (page.imagelength, page.imagewidth, page.samplesperpixel, page.bitspersample)
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError("its header makes no sense")
    return page


def decode(data: bytes, source: Path) -> Photo:
    """Decode the photo of a TIFF, 8 or 16 bits; grey and palette become RGB. Raises PhotoError."""
    with _faults_of(source), tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page, pages = _photo_page(tiff)
        _check_kind(page, source)
        _check_whole(page, len(data), source)
        stored = page.asarray(maxworkers=1)
        rgb, alpha, alpha_is = _channels(page, stored, source)
        offset = page.offset
    notes = [f"It has {pages} pages: only the photo was taken."] if pages > 1 else []
    try:
        metadata, lost = checked(tiff_carrier.read(data, offset), None)
    except BrokenExif:
        metadata, lost = Metadata(), ["Its metadata is damaged and was left out."]
    return Photo(
        np.ascontiguousarray(rgb),
        metadata,
        alpha,
        alpha_is,
        format="tiff",
        source=source,
        warnings=(*notes, *lost),
    )


def _check_kind(page: Any, source: Path) -> None:
    """Refuse, by name, what is no 8- or 16-bit RGB, grey or palette photo."""
    photometric = int(page.photometric)
    kind = ""
    if photometric not in _COLOURS:
        name = getattr(page.photometric, "name", str(photometric))
        kind = {"SEPARATED": "a CMYK", "CIELAB": "a Lab", "CFA": "a raw"}.get(name, f"a {name}")
    elif photometric == _YCBCR and int(page.compression) not in _JPEG_COMPRESSIONS:
        kind = "an uncompressed YCbCr"
    elif page.sampleformat not in (1, 4):
        names = {2: "signed-integer", 3: "floating-point", 5: "complex", 6: "complex"}
        kind = f"a {names.get(page.sampleformat, 'strange')}"
    elif page.bitspersample not in (8, 16):
        kind = f"a {page.bitspersample}-bit"
    elif page.imagedepth > 1:
        kind = "a three-dimensional"
    if kind:
        raise PhotoError(source, f"it is {kind} TIFF", "Convert it to 8- or 16-bit RGB first.")
    if page.samplesperpixel - _COLOURS[photometric] not in (0, 1):
        fault = f"it has {page.samplesperpixel} channels"
        raise PhotoError(source, fault, "Save it with RGB and at most one alpha channel.")


def _check_whole(page: Any, file_bytes: int, source: Path) -> None:
    """Refuse a TIFF whose pixels do not all lie in the file."""
    spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    segments = max(len(page.dataoffsets), len(page.databytecounts))
    if len(spans) < segments or any(start + size > file_bytes for start, size in spans):
        raise PhotoError(source, "the file is cut short", RESTORE)
    stored = sum(size for _, size in spans)
    expected = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
    if any(size == 0 for _, size in spans) or (page.compression == 1 and stored < expected):
        raise PhotoError(source, "the file lacks a part of its pixels", RESTORE)


def _channels(page: Any, stored: Values, source: Path) -> tuple[Values, Values | None, AlphaIs]:
    """Turn a page's values into (H, W, 3) RGB, alpha, and what the alpha is."""
    size = (page.imagelength, page.imagewidth)
    samples = page.samplesperpixel
    if stored.ndim == 3 and int(page.planarconfig) == 2:
        stored = np.moveaxis(stored, 0, -1)
    if samples == 1 and stored.ndim == 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.shape != (size if samples == 1 else (*size, samples)):
        raise PhotoError(source, "its pixels do not have the stated size", RESTORE)
    if stored.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise PhotoError(source, f"its pixels are {stored.dtype}", "Save it with 8 or 16 bits.")
    alpha = None
    alpha_is: AlphaIs = "straight"
    colours = _COLOURS[int(page.photometric)]
    if samples > colours:
        alpha = np.ascontiguousarray(stored[..., colours])
        alpha_is = _ALPHA_IS.get(int(page.extrasamples[0]) if page.extrasamples else 0, "other")
        stored = stored[..., :colours] if colours > 1 else stored[..., 0]
    if int(page.photometric) == _PALETTE:
        return _expanded(stored, np.asarray(page.colormap)), alpha, alpha_is
    if int(page.photometric) == _MINISWHITE:
        stored = np.invert(stored)
    return as_rgb(stored), alpha, alpha_is


def _expanded(indices: Values, colours: Values) -> Values:
    """Look palette indices up. colours: (3, N) uint16; 8-bit palettes are told and kept so."""
    low = colours & 0xFF
    if not low.any() or np.array_equal(low, colours >> 8):
        colours = np.asarray(colours >> 8, np.uint8)
    expanded: Values = np.ascontiguousarray(colours.T)[indices]
    return expanded


def layout(photo: Photo) -> tuple[TiffTags, bytes, list[str]]:
    """Lay out the metadata of a TIFF: its tags, its ICC profile, and what was left out."""
    metadata, left_out = with_one_packet(edited(photo.metadata, SOFTWARE))
    try:
        return tiff_carrier.write(metadata, SOFTWARE), metadata.icc, left_out
    except BrokenExif:
        plain = Metadata(orientation=metadata.orientation, xmp=metadata.xmp, iptc=metadata.iptc)
        left_out.append("Its EXIF is damaged and was left out.")
        return tiff_carrier.write(plain, SOFTWARE), metadata.icc, left_out


def write(path: Path, photo: Photo, options: EncodeOptions) -> list[str]:
    """Write a 16-bit TIFF with its metadata and alpha; return what was left out.

    The EXIF block begins the file, so that offsets inside a MakerNote stay true.
    """
    tags, icc, left_out = layout(photo)
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
            maxworkers=_WORKERS,
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
