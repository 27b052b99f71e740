"""Masks read from the user's files, and gates written for the user to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files import not_asked, opened, write_atomic
from ..metadata import exif, jpeg_carrier, png_carrier
from ..metadata.png_carrier import BrokenPng
from ..photo import Metadata, Photo, turn_upright
from . import jpeg, png
from .formats import SOFTWARE, EncodeOptions, to_8_bit
from .sniff import HEAD_BYTES, OUR_HEAD_BYTES, kind_of

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_RED = np.array([255.0, 0.0, 0.0], np.float32)
_RED_SHARE = 0.6  # of the overlay where the gate is fully open
_BAND_ROWS = 256
_OVERLAY_NOTE = b"abpn mask --overlay"  # the JPEG comment by which an overlay is known again
_STAMP_KEYWORD = b"abpn mask"  # of the PNG text chunk; a JPEG has a comment of the same words
_STAMP = re.compile(rb"abpn mask[\0 ]([0-9a-f]{64}) ([0-9a-f]{64}) ([0-9a-f]{64})")
_EOI = b"\xff\xd9"


class Stamp(NamedTuple):
    """What a mask was found on and with: SHA-256 of the photo, digest of weights and options."""

    source: str
    made: str


class Stamped(NamedTuple):
    """A picture that may be a mask of ours.

    whole: it is not cut short; stamp: what it says of itself; changed: its picture is another than
    that which was stamped.
    """

    whole: bool
    stamp: Stamp | None = None
    changed: bool = False


def grey_of(photo: Photo) -> NDArray[np.float32]:
    """Return a photo's grey values, upright: (H, W) float32 in [0, 1]; what is transparent is 0."""
    full = np.float32(np.iinfo(photo.pixels.dtype).max)
    grey = np.empty(photo.pixels.shape[:2], np.float32)
    for start in range(0, len(grey), _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        grey[rows] = photo.pixels[rows] @ (_LUMA / full)
    if photo.alpha is not None and photo.alpha_is == "straight":
        grey *= photo.alpha / full
    np.clip(grey, 0.0, 1.0, out=grey)
    return np.ascontiguousarray(turn_upright(grey, photo.metadata.orientation))


def write_mask(
    gate: NDArray[np.uint8],
    target: Path,
    orientation: int,
    ready: Callable[[Path], None] = not_asked,
    stamp: Stamp | None = None,
) -> None:
    """Write a gate as 8-bit grey PNG in stored orientation, with the tag that turns it upright.

    gate: (H, W) uint8; ready: as of `write_atomic`; stamp: what the mask shall say of itself.
    Raises TargetError.
    """
    block = exif.for_png(b"", SOFTWARE, orientation)
    encoded = png.encode_plain(gate)
    said: tuple[tuple[bytes, bytes], ...] = ()
    if stamp is not None:
        picture = _picture_of_png(png_carrier.split(encoded)[0])
        said = ((b"tEXt", _STAMP_KEYWORD + b"\0" + _words(stamp, picture)),)
    data = png_carrier.write(encoded, Metadata(exif=block, chunks=said), None)
    write_atomic(target, lambda path: _fill(path, data), ready)


def write_overlay(
    photo: Photo, gate: NDArray[np.uint8], target: Path, stamp: Stamp | None = None
) -> None:
    """Write the photo with the gate laid over it in red, as JPEG in stored orientation.

    gate: (H, W) uint8, the photo's size; stamp: as of `write_mask`. Raises TargetError, PhotoError.
    """
    pixels = to_8_bit(photo.pixels).copy()
    for start in range(0, pixels.shape[0], _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        share = gate[rows, :, None].astype(np.float32) * np.float32(_RED_SHARE / 255)
        pixels[rows] = np.rint(pixels[rows] * (1 - share) + _RED * share).astype(np.uint8)
    metadata = Metadata(
        orientation=photo.metadata.orientation, icc=photo.metadata.icc, comment=_OVERLAY_NOTE
    )
    plain = replace(photo, pixels=pixels, metadata=metadata, alpha=None)
    data = jpeg.encode(plain, EncodeOptions()).data
    if stamp is not None:
        segments, scan = jpeg_carrier.split(data)
        words = _STAMP_KEYWORD + b" " + _words(stamp, _picture_of_jpeg(data, scan))
        segments.append(jpeg_carrier.Segment(jpeg_carrier.COM, words))
        data = jpeg_carrier.join(segments) + data[scan:]
    write_atomic(target, lambda path: _fill(path, data))


def is_overlay(path: Path) -> bool:
    """Tell whether a file is a JPEG that `write_overlay` made. Raises PhotoError."""
    with opened(path) as file:
        segments, _ = jpeg_carrier.split(file.read(OUR_HEAD_BYTES))
    return jpeg_carrier.read(segments)[0].comment == _OVERLAY_NOTE


def read_stamp(path: Path) -> Stamp | None:
    """Read what a mask says of itself, from the beginning of the file alone. Raises OSError."""
    with path.open("rb") as file:
        return _stamp_in(file.read(OUR_HEAD_BYTES))[0]


def read_stamped(path: Path) -> Stamped:
    """Read a picture in a mask's place through; one of a kind that we do not write is whole.

    Raises OSError.
    """
    data = path.read_bytes()
    kind = kind_of(data[:HEAD_BYTES], str(path))
    if kind == "png":
        try:
            picture = _picture_of_png(png_carrier.split(data)[0])
        except BrokenPng:
            return Stamped(False)
    elif kind == "jpeg":
        _, scan = jpeg_carrier.split(data)
        if scan < 0 or data.find(_EOI, scan) < 0:  # inside a scan every FF is stuffed
            return Stamped(False)
        picture = _picture_of_jpeg(data, scan)
    else:
        return Stamped(kind is not None)
    stamp, stamped = _stamp_in(data[:OUR_HEAD_BYTES])
    return Stamped(True, stamp, changed=stamp is not None and picture != stamped)


def _words(stamp: Stamp, picture: bytes) -> bytes:
    return b" ".join([stamp.source.encode("ascii"), stamp.made.encode("ascii"), picture])


def _stamp_in(head: bytes) -> tuple[Stamp | None, bytes]:
    """Find a stamp, and the hash of the picture that it was made for."""
    found = _STAMP.search(head)
    if found is None:
        return None, b""
    source, made, picture = found.groups()
    return Stamp(source.decode("ascii"), made.decode("ascii")), picture


def _picture_of_png(chunks: list[png_carrier.Chunk]) -> bytes:
    """Hash the pixels of a PNG, as they are stored."""
    return sha256(png_carrier.pixels_only(chunks)).hexdigest().encode("ascii")


def _picture_of_jpeg(data: bytes, scan: int) -> bytes:
    """Hash the pixels of a JPEG, as they are stored: programs may change what lies before them."""
    return sha256(memoryview(data)[scan:]).hexdigest().encode("ascii")


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)
