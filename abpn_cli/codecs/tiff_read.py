"""TIFF to Photo, by tifffile.

OpenCV is no choice here: it turns or refuses TIFFs with an orientation, mistakes planar ones, and
passes damaged ones as good.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
import tifffile
from imagecodecs import DelayedImportError

from ..errors import PhotoError
from ..metadata import BrokenExif, checked, jpeg_carrier, tiff_carrier
from ..metadata.tiff_extent import behind_the_end
from ..photo import Metadata, Photo
from . import cmyk, jpeg_rare, profiles
from .formats import RESTORE, RESTORE_OR_ACCEPT, DamagedError, Header, Values, as_rgb
from .tiff_kinds import COLOURS, MINISWHITE, PALETTE, SEPARATED, check_kind, integers

AlphaIs = Literal["straight", "associated", "other"]
Page = Any  # tifffile.TiffPage, whose attributes are as the file says: of any type
ReadValues = Callable[[Page, bytes, Path], Values]

_JPEG = 7
_NOT_A_PHOTO = 1 | 4  # NewSubfileType: reduced copy, transparency mask
_ALPHA_IS: dict[int, AlphaIs] = {1: "associated", 2: "straight"}
_ORIENTATION = 274
_MAX_PAGES = 10_000
# What tifffile and its decoders raise for files that are not as they should be.
_DECODER_ERRORS = (
    *(ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, OSError),
    *(struct.error, ArithmeticError, MemoryError, EOFError, AssertionError),
)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes on stderr


@contextmanager
def faults_of(source: Path, damage: type[PhotoError], remedy: str) -> Iterator[None]:
    """Turn what the decoder raises into a PhotoError of that kind."""
    try:
        yield
    except (ImportError, DelayedImportError) as error:
        fault = f"its compression is not supported ({error})"
        raise PhotoError(source, fault, "Save it with another compression.") from error
    except _DECODER_ERRORS as error:
        raise damage(source, f"the file is damaged ({_words(error)})", remedy) from error


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__


def header(file: BinaryIO, source: Path) -> Header:
    """Read the header of a TIFF's photo. Raises PhotoError."""
    with faults_of(source, PhotoError, RESTORE), tifffile.TiffFile(file) as tiff:
        page, _ = _photo_page(tiff)
        turn = page.tags.valueof(_ORIENTATION, 1)
        return Header(
            "tiff",
            (page.imagelength, page.imagewidth),
            page.bitspersample,
            page.samplesperpixel,
            int(turn) if turn in range(1, 9) else 1,
        )


def _photo_page(tiff: tifffile.TiffFile) -> tuple[Page, int]:
    """Return the first page that is no small copy and no mask, and how many pages there are."""
    pages = tiff.pages
    for index in range(min(len(pages), _MAX_PAGES)):
        page = pages[index]
        if not isinstance(page, tifffile.TiffPage):
            page = page.aspage()
        if not page.subfiletype & _NOT_A_PHOTO:
            return _sane(page), len(pages)
    return _sane(pages.first), len(pages)


def _sane(page: Page) -> Page:
    """Return the page; raise ValueError where a number is a list or text: tifffile takes both."""
    numbers = (page.imagelength, page.imagewidth, page.samplesperpixel, page.bitspersample)
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError("its header makes no sense")
    return page


def decode(data: bytes, source: Path) -> Photo:
    """Decode the photo of a TIFF; everything becomes RGB of 8 or 16 bits.

    Raises PhotoError, and DamagedError where a part of the pixels is lost.
    """
    return photo_of(data, source, _whole)


def photo_of(data: bytes, source: Path, read_values: ReadValues) -> Photo:
    """Make a photo of a TIFF, its stored values read by that function. Raises PhotoError."""
    with (
        faults_of(source, PhotoError, RESTORE),
        tifffile.TiffFile(io.BytesIO(data)) as tiff,
    ):
        page, pages = _photo_page(tiff)
        check_kind(page, source)
        offset = page.offset
        with faults_of(source, DamagedError, RESTORE_OR_ACCEPT):
            stored = read_values(page, data, source)
        values, alpha, alpha_is = _channels(page, stored, source)
        separated = int(page.photometric) == SEPARATED
    notes = [f"It has {pages} pages: only the photo was taken."] if pages > 1 else []
    try:
        metadata, lost = tiff_carrier.read(data, offset)
    except BrokenExif:
        metadata, lost = Metadata(), ["Its metadata is damaged and was left out."]
    lost += behind_the_end(data)
    if separated:
        values = cmyk.to_rgb(values, metadata.icc, source)
        metadata = replace(metadata, icc=profiles.srgb())
        notes.append(cmyk.NOTE)
    metadata, broken = checked(metadata, None)
    return Photo(
        np.ascontiguousarray(values),
        metadata,
        alpha,
        alpha_is,
        format="tiff",
        source=source,
        warnings=(*notes, *lost, *broken),
    )


def _whole(page: Page, data: bytes, source: Path) -> Values:
    """Decode all of a page's values; whatever is missing is an error."""
    _check_whole(page, len(data), source)
    if int(page.compression) == _JPEG:
        _check_jpegs(page, data, source)
    stored: Values = page.asarray(maxworkers=1)
    return stored


def _check_whole(page: Page, file_bytes: int, source: Path) -> None:
    """Refuse a TIFF whose pixels do not all lie in the file."""
    spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    segments = max(len(page.dataoffsets), len(page.databytecounts))
    if len(spans) < segments or any(start + size > file_bytes for start, size in spans):
        raise DamagedError(source, "the file is cut short")
    stored = sum(size for _, size in spans)
    expected = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
    plain = page.compression == 1
    missing = stored < expected if plain else len(spans) < prod(page.chunked)
    if missing or any(size == 0 for _, size in spans):
        raise DamagedError(source, "the file lacks a part of its pixels")


def _check_jpegs(page: Page, data: bytes, source: Path) -> None:
    """Refuse a TIFF with a damaged JPEG inside: tifffile's decoder fills up what is missing."""
    tables = page.jpegtables[:-2] if page.jpegtables else b"\xff\xd8"
    for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        jpeg = tables + data[start + 2 : start + size]
        segments, scan = jpeg_carrier.split(jpeg)
        frame = jpeg_carrier.frame_of(segments)
        if frame is None or scan < 0:
            raise DamagedError(source, "the file is damaged: a JPEG inside it is cut short")
        try:
            if frame.bits == 8:
                colours = "CMYK" if frame.components == 4 else "GRAY"  # the quickest
                simplejpeg.decode_jpeg(jpeg, colours, strict=True)
                whole = True
            else:
                values = jpeg_rare.lenient(jpeg, frame)
                whole = jpeg_rare.is_whole(jpeg, scan, frame, values)
        except (ValueError, RuntimeError) as error:
            fault = f"the file is damaged (a JPEG inside it: {_words(error)})"
            raise DamagedError(source, fault) from error
        if not whole:
            raise DamagedError(source, "the file is damaged: a JPEG inside it is cut short")


def _channels(page: Page, stored: Values, source: Path) -> tuple[Values, Values | None, AlphaIs]:
    """Turn a page's values into (H, W, 3) RGB or (H, W, 4) CMYK, alpha, and what the alpha is."""
    size = (page.imagelength, page.imagewidth)
    samples = page.samplesperpixel
    if stored.ndim == 3 and int(page.planarconfig) == 2:
        stored = np.moveaxis(stored, 0, -1)
    if samples == 1 and stored.ndim == 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.shape != (size if samples == 1 else (*size, samples)):
        raise PhotoError(source, "its pixels do not have the stated size", RESTORE)
    values = integers(page, stored, source)
    alpha = None
    alpha_is: AlphaIs = "straight"
    colours = COLOURS[int(page.photometric)]
    if samples > colours:
        alpha = np.ascontiguousarray(values[..., colours])
        alpha_is = _ALPHA_IS.get(int(page.extrasamples[0]) if page.extrasamples else 0, "other")
        values = values[..., :colours] if colours > 1 else values[..., 0]
    if int(page.photometric) == PALETTE:
        return _expanded(values, np.asarray(page.colormap)), alpha, alpha_is
    if int(page.photometric) == MINISWHITE:
        values = np.invert(values)
    return as_rgb(values), alpha, alpha_is


def _expanded(indices: Values, colours: Values) -> Values:
    """Look palette indices up. colours: (3, N) uint16; 8-bit palettes are told and kept so."""
    low = colours & 0xFF
    if not low.any() or np.array_equal(low, colours >> 8):
        colours = np.asarray(colours >> 8, np.uint8)
    expanded: Values = np.ascontiguousarray(colours.T)[indices]
    return expanded
