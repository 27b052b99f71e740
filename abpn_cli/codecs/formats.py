"""What the formats have in common: header, options, and depth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import PhotoError
from ..photo import FormatName, Provenance

Values = NDArray[Any]  # uint8 or uint16, any shape

SOFTWARE = f"abpn {__version__}"
MAX_PIXELS = 250_000_000  # more is an attack or a mosaic; both would fill the memory
_BAND_ROWS = 128
RESTORE = "Restore it from the card or a backup."
RESTORE_OR_ACCEPT = f"{RESTORE} --accept-damaged takes what is left of it."


@dataclass(frozen=True)
class Header:
    """What a photo's header says.

    format:      "jpeg", "png", "tiff", "raw" or "heic"; size: (height, width) as decoded.
    bits:        per channel; channels: as stored, alpha included (1 for a palette).
    orientation: EXIF orientation 1..8.
    """

    format: str
    size: tuple[int, int]
    bits: int
    channels: int
    orientation: int


class DamagedError(PhotoError):
    """A part of a photo's pixels is lost; the rest may be worth having."""

    def __init__(
        self, path: str | os.PathLike[str], fault: str, remedy: str = RESTORE_OR_ACCEPT
    ) -> None:
        super().__init__(path, fault, remedy)


@dataclass(frozen=True)
class DecodeOptions:
    """Choices of the reader.

    max_pixels:     a larger photo is refused before it is decoded.
    accept_damaged: take what is left of a damaged photo, with a warning.
    raw_space:      the colour space that camera raw files are developed into.
    """

    max_pixels: int = MAX_PIXELS
    accept_damaged: bool = False
    raw_space: Literal["srgb", "prophoto"] = "srgb"


@dataclass(frozen=True)
class EncodeOptions:
    """Choices of the writer.

    quality:          of JPEGs that are encoded whole, 1..100.
    tiff_compression: all are lossless.
    jpeg:             "keep-untouched" encodes of a JPEG only what has changed in it; "reencode"
                      encodes the whole.
    provenance:       what a history in the photo's XMP is told.
    keeping_bytes:    the most memory that "keep-untouched" may hold, the photo included; None for
                      any. A photo that takes more is encoded whole.
    threads:          that may compress at the same time, of formats that can: `useful_threads`.
    """

    quality: int = 95
    tiff_compression: Literal["none", "deflate", "zstd"] = "deflate"
    jpeg: Literal["keep-untouched", "reencode"] = "keep-untouched"
    provenance: Provenance = Provenance(__version__)
    keeping_bytes: int | None = None
    threads: int = 1


def useful_threads(format: FormatName) -> int:
    """Return how many threads writing a format can use."""
    return 2 if format == "tiff" else 1


class Encoded(NamedTuple):
    """A file's bytes, and what of the photo they could not hold, one sentence each."""

    data: bytes
    left_out: list[str]


def to_8_bit(pixels: Values) -> NDArray[np.uint8]:
    """Return pixels of any shape with 8 bits, 65535 becoming 255, rounded to nearest."""
    if pixels.dtype == np.uint8:
        return pixels
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    narrow = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _BAND_ROWS):  # looking up takes 8 bytes a value
        rows = slice(start, start + _BAND_ROWS)
        narrow[rows] = table[pixels[rows]]
    return narrow


def to_16_bit(pixels: Values) -> NDArray[np.uint16]:
    """Return pixels of any shape with 16 bits, 255 becoming 65535."""
    if pixels.dtype == np.uint16:
        return pixels
    wide = pixels.astype(np.uint16)
    wide *= 257
    return wide


def to_full_range(values: Values, bits: int) -> Values:
    """Widen values of so many bits to 8 or 16: the highest value becomes the highest.

    values: uint8 or uint16, any shape; those of 8 and 16 bits are returned as they are.
    The high bits are repeated in the low ones, so that every value keeps its place.
    """
    if bits in (8, 16):
        return values
    if bits < 8:
        return np.rint(values * (255 / ((1 << bits) - 1))).astype(np.uint8)
    wide: Values = values.astype(np.uint16) << (16 - bits)
    wide |= wide >> bits
    return wide


def as_rgb(pixels: Values) -> Values:
    """Return (H, W) grey pixels as (H, W, 3), and (H, W, 3) as they are."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
